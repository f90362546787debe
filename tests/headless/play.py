#!/usr/bin/env python3
"""Records the example `play` through a PulseAudio sink that leads nowhere: play.py PROGRAM.

Every frame of the file that is played tells its own number, so the recording shows which frames were heard, and in which
order. It drives the program by its keys: pause, resume, ten seconds forward, quit. Each key is pressed once the recording
has come to where it is due, so nothing depends on how fast the machine is.
"""

import array
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
import wave

# What the sound card is opened with.
RATE = 48_000
SECONDS = 40
# The first frames may be missing while the sound system starts.
SILENT = RATE // 2
# A prime number of values for the left channel; the right one counts how often it was gone through.
CYCLE = 30_011
RIGHT = 1_000
# What is heard before each key, in frames.
STRETCH = RATE * 3 // 2
# Frames that may be faded around a pause, a resume and a seek.
FADED = RATE // 20
# A faded frame may look like another one by chance, but not so many in a row.
CHANCE = 16
HANG = 30
# A busy machine feeds the sound card too late, which then throws away what it holds, and says so. That shows nothing.
ATTEMPTS = 10

SINK = f"""
load-module module-native-protocol-unix
load-module module-null-sink sink_name=nowhere rate={RATE} channels=2 format=float32le
set-default-sink nowhere
"""
ASOUNDRC = """
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def write_file(path):
    frames = array.array("h", bytes(4 * SILENT))
    for frame in range(SILENT, SECONDS * RATE):
        frames.extend((frame % CYCLE + 1, frame // CYCLE + RIGHT))
    with wave.open(path, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(frames.tobytes())


def number(left, right):
    """The frame that these samples are; None if they are no frame as it stands in the file, 0 if they are silence."""
    if left == 0 and right == 0:
        return 0
    left, right = left * 32768, right * 32768
    if left != int(left) or right != int(right):
        return None
    frame = (int(right) - RIGHT) * CYCLE + int(left) - 1
    whole = 1 <= left <= CYCLE and SILENT <= frame < SECONDS * RATE
    return frame if whole else None


class Heard:
    """What a recording shows: stretches of frames that follow on each other, and what lies between them."""

    def __init__(self):
        self.stretches = []  # [first frame, frames]
        self.between = [[0, 0]]  # [silent frames, faded frames] before each stretch, and after the last
        self.sound = 0
        self.rest = b""

    def take(self, data):
        data = self.rest + data
        whole = len(data) - len(data) % 8
        self.rest = data[whole:]
        samples = array.array("f", data[:whole])
        for index in range(0, len(samples), 2):
            self.take_frame(number(samples[index], samples[index + 1]))

    def take_frame(self, frame):
        before = self.between[-1]
        self.sound += frame != 0
        if not frame:
            before[1 if frame is None else 0] += 1
        elif self.stretches and before == [0, 0] and frame == sum(self.stretches[-1]):
            self.stretches[-1][1] += 1
        else:
            self.stretches.append([frame, 1])
            self.between.append([0, 0])

    def is_silent(self):
        return self.between[-1][0] >= RATE // 2


def certain(heard):
    """The stretches that are no chance, and what lies before each and after the last."""
    stretches, between = [], [heard.between[0][:]]
    for stretch, (silent, faded) in zip(heard.stretches, heard.between[1:]):
        if stretch[1] < CHANCE:
            between[-1][0] += silent
            between[-1][1] += faded + stretch[1]
        else:
            stretches.append(stretch[:])
            between.append([silent, faded])
    return stretches, between


def was_starved(heard):
    """Whether frames are missing behind a short silence: the sound system had none, and then went on too far."""
    stretches, between = certain(heard)
    joints = zip(stretches, stretches[1:], between[1:])
    return any(0 < silent < RATE // 4 and faded == 0 and second[0] != sum(first) for first, second, (silent, faded) in joints)


def check(heard):
    """Raises unless the stretches are those of a pause and a seek."""
    stretches, between = certain(heard)
    assert stretches, f"nothing is heard: {between}"
    starved = 0
    joined = [stretches[0]]
    for (first, count), (silent, faded) in zip(stretches[1:], between[1:]):
        end = sum(joined[-1])
        if first == end and faded == 0 and silent < RATE // 4:
            # The machine was too busy to feed the sound system in time; nothing was lost.
            starved += 1
            joined[-1][1] += count
            continue
        joined.append([first, count])
        print(f"frame {end} | {silent} silent, {faded} faded | frame {first}")
        if len(joined) == 2:
            assert silent >= RATE // 2, "the pause is not silent"
            # The last frame of a fade is silent.
            assert first - end - faded in (0, 1), f"{first - end} frames are missing around the pause, {faded} were faded"
        else:
            step = first - end - 10 * RATE
            # Pressed a moment before it is heard, and the position is that of what was handed out.
            assert -RATE < step < RATE, f"a seek by {first - end} frames"
        assert faded <= FADED, f"{faded} faded frames"
    assert len(joined) == 3, f"{len(joined)} stretches: {joined}"
    frames = sum(count for _, count in joined)
    print(f"{frames} frames are those of the file, in order; the sound system starved {starved} times")


def wait_for(path):
    begun = time.monotonic()
    while not os.path.exists(path):
        assert time.monotonic() - begun < HANG, f"{path} does not appear"
        time.sleep(0.05)


def start(command, **more):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)


def listen(program, file, folder, env):
    recorder = start(
        ["parec", "--device=nowhere.monitor", "--format=float32le", f"--rate={RATE}", "--channels=2", "--latency-msec=20"],
        env=env,
        stdout=subprocess.PIPE,
    )
    keyboard, terminal = pty.openpty()
    log = open(os.path.join(folder, "play.log"), "wb")
    player = subprocess.Popen([program, file], stdin=terminal, stdout=log, stderr=log, env=env)
    heard = Heard()
    pressed_at = 0

    def has_played():
        return heard.sound - pressed_at >= STRETCH

    keys = [(b" ", has_played), (b" ", heard.is_silent), (b"\x1b[C", has_played), (b"q", has_played)]
    begun = time.monotonic()
    try:
        while keys and player.poll() is None:
            assert time.monotonic() - begun < HANG, "nothing more is heard"
            recorded = os.read(recorder.stdout.fileno(), 1 << 16)
            assert recorded, "the recording ends"
            heard.take(recorded)
            if keys[0][1]():
                os.write(keyboard, keys.pop(0)[0])
                pressed_at = heard.sound
        assert player.wait(HANG) == 0, "play failed"
    except BaseException:
        print(heard.between, heard.stretches, file=sys.stderr)
        with open(log.name, "rb") as text:
            sys.stderr.write(text.read().decode(errors="replace"))
        raise
    finally:
        for process in (player, recorder):
            process.kill()
            process.wait()
    with open(log.name, "rb") as text:
        return heard, text.read().count(b"underrun or overrun")


def main():
    program = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="kithara-headless-")
    home, runtime = os.path.join(folder, "home"), os.path.join(folder, "run")
    for path in (home, runtime):
        os.mkdir(path, 0o700)
    file = os.path.join(folder, "numbered.wav")
    write_file(file)
    with open(os.path.join(home, ".asoundrc"), "w") as text:
        text.write(ASOUNDRC)
    script = os.path.join(folder, "sink.pa")
    with open(script, "w") as text:
        text.write(SINK)
    env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=runtime, PULSE_RUNTIME_PATH=runtime)
    env.pop("PULSE_SERVER", None)
    sound = ["pulseaudio", "-n", "-F", script, "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-level=error"]
    server = start(sound, env=env)
    try:
        wait_for(os.path.join(runtime, "native"))
        for _ in range(ATTEMPTS):
            heard, overruns = listen(program, file, folder, env)
            if overruns == 0 and not was_starved(heard):
                return check(heard)
            print("once more: the sound card was served too late")
        sys.exit("this machine is too busy to feed a sound card")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
