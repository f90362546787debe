#!/usr/bin/env python3
"""Composes the demo: a short piece for two plucked strings, bass, shaker and a small room, in D major.

    make_demo.py OUT.wav [BAR...]

Of the six bars all are played once, or those that are named, from 0 on, in that order; then the ending.

Everything is synthesised here: Karplus-Strong strings with fractional tuning, a sine bass, noise percussion and a
Schroeder reverb. No sample and no melody is taken from anywhere. Deterministic.
"""
import math
import random
import sys
import wave

RATE = 44_100
BEAT = 60 / 112
BARS = [int(bar) for bar in sys.argv[2:]] or list(range(6))
END = 4 * len(BARS)
# Whole packets of 1024 frames when it is not the six bars: then AAC ends where FLAC does.
FRAMES = int(RATE * 15.6) if len(BARS) == 6 else int(RATE * (END * BEAT + 2.75) / 1024) * 1024

# (beat, MIDI note, length in beats) for each bar of four beats.
MELODY = [
    [(0, 78, 1), (1, 81, 0.5), (1.5, 78, 0.5), (2, 74, 1), (3, 76, 0.5), (3.5, 78, 0.5)],
    [(0, 76, 1.5), (1.5, 73, 0.5), (2, 69, 1), (3, 73, 0.5), (3.5, 76, 0.5)],
    [(0, 74, 1), (1, 78, 0.5), (1.5, 83, 0.5), (2, 81, 1), (3, 78, 0.5), (3.5, 74, 0.5)],
    [(0, 71, 1), (1, 74, 0.5), (1.5, 79, 0.5), (2, 78, 1), (3, 76, 0.5), (3.5, 74, 0.5)],
    [(0, 78, 0.5), (0.5, 81, 0.5), (1, 86, 1), (2, 83, 0.5), (2.5, 86, 0.5), (3, 83, 0.5), (3.5, 81, 0.5)],
    [(0, 79, 1), (1, 76, 0.5), (1.5, 78, 0.5), (2, 76, 0.5), (2.5, 73, 0.5), (3, 69, 0.5), (3.5, 73, 0.5)],
]
# For each half bar: bass note, then the notes the accompaniment picks from.
D, A, B_MINOR, G = (38, (57, 62, 66, 69)), (37, (57, 61, 64, 69)), (35, (59, 62, 66, 71)), (31, (55, 59, 62, 67))
HARMONY = [D, D, A, A, B_MINOR, B_MINOR, G, G, (42, (57, 62, 66, 69)), G, (40, (55, 59, 62, 64)), (33, (55, 57, 61, 64))]
ENDING = (38, 50, 57, 62, 66, 69, 74)


def hertz(note):
    return 440 * 2 ** ((note - 69) / 12)


def string(rng, note, seconds, bright):
    """One plucked string: a delay line of noise, low-passed each time round, tuned by an all-pass."""
    period = RATE / hertz(note) - 0.5
    whole = int(period - 0.1)
    fraction = period - whole
    tune = (1 - fraction) / (1 + fraction)
    noise = [rng.uniform(-1, 1) for _ in range(whole)]
    for _ in range(2 if bright else 5):
        noise = [(noise[i - 1] + noise[i]) / 2 for i in range(whole)]
    at = max(1, whole // 5)  # Plucking at a fifth of the string takes every fifth partial away.
    line = [noise[i] - noise[i - at] for i in range(whole)]
    mean = sum(line) / whole
    line = [sample - mean for sample in line]
    loss = 0.5 ** (1 / (hertz(note) * (0.9 if bright else 0.7)))
    out, before, passed_in, passed_out = [], 0.0, 0.0, 0.0
    for n in range(int(RATE * seconds)):
        i = n % whole
        sample = line[i]
        out.append(sample)
        damped = loss * 0.5 * (sample + before)
        before = sample
        passed_out = tune * damped + passed_in - tune * passed_out
        passed_in = damped
        line[i] = passed_out
    release = int(RATE * 0.06)
    for n in range(release):
        out[-1 - n] *= n / release
    return out


def bass(note, seconds):
    step = 2 * math.pi * hertz(note) / RATE
    out = []
    for n in range(int(RATE * seconds)):
        t = n / RATE
        envelope = min(1, t / 0.012) * math.exp(-t * 1.6) * min(1, (seconds - t) / 0.08)
        out.append(envelope * (math.sin(step * n) + 0.25 * math.sin(2 * step * n) + 0.08 * math.sin(3 * step * n)))
    return out


def shaker(rng, length):
    out, last = [], 0.0
    for n in range(int(RATE * length)):
        noise = rng.uniform(-1, 1)
        t = n / RATE
        out.append((noise - last) * min(1, t / 0.008) * math.exp(-t / 0.025))
        last = noise
    return out


def thump():
    out, phase = [], 0.0
    for n in range(int(RATE * 0.22)):
        t = n / RATE
        phase += 2 * math.pi * (48 + 70 * math.exp(-t / 0.025)) / RATE
        out.append(math.sin(phase) * math.exp(-t / 0.07))
    return out


class Mix:
    def __init__(self):
        self.left, self.right, self.room = ([0.0] * FRAMES for _ in range(3))

    def add(self, beat, samples, gain, pan, wet):
        start = int(beat * BEAT * RATE)
        left, right = gain * math.cos(pan * math.pi / 2), gain * math.sin(pan * math.pi / 2)
        for n, sample in enumerate(samples[: FRAMES - start], start):
            self.left[n] += left * sample
            self.right[n] += right * sample
            self.room[n] += wet * gain * sample


def reverb(room, spread):
    """Schroeder's: four damped combs side by side, then two all-passes."""
    out = [0.0] * FRAMES
    for delay, feedback in ((1_557, 0.76), (1_617, 0.75), (1_491, 0.77), (1_422, 0.78)):
        delay += spread
        line, low = [0.0] * delay, 0.0
        for n in range(FRAMES):
            i = n % delay
            out[n] += line[i]
            low += 0.65 * (line[i] - low)
            line[i] = room[n] + feedback * low
    for delay in (225 + spread, 556 + spread):
        line = [0.0] * delay
        for n in range(FRAMES):
            i = n % delay
            held = line[i]
            line[i] = out[n] + 0.5 * held
            out[n] = held - 0.5 * line[i]
    return out


def compose():
    rng = random.Random(1_812)
    mix = Mix()
    for bar, notes in enumerate(MELODY[played] for played in BARS):
        for beat, note, length in notes:
            human = rng.uniform(0, 0.012)
            mix.add(4 * bar + beat + human, string(rng, note, length * BEAT + 0.5, True), rng.uniform(0.5, 0.58), 0.58, 0.5)
    for half, (root, chord) in enumerate(HARMONY[2 * bar + part] for bar in BARS for part in (0, 1)):
        mix.add(2 * half, bass(root, 1.9 * BEAT), 0.3, 0.5, 0.05)
        for step, pick in enumerate((0, 2, 1, 3)):
            at = 2 * half + step / 2 + rng.uniform(0, 0.015)
            mix.add(at, string(rng, chord[pick], 1.3, False), rng.uniform(0.38, 0.46), 0.3, 0.4)
        if half >= 2:
            mix.add(2 * half, thump(), 0.3, 0.5, 0.05)
        if half >= 4:
            for step in range(4):
                mix.add(2 * half + step / 2, shaker(rng, 0.12), 0.028 if step % 2 else 0.016, 0.72, 0.3)
    for index, note in enumerate(ENDING):
        mix.add(END + index * 0.07, string(rng, note, 2.6, index > 3), 0.4, 0.3 + 0.06 * index, 0.5)
    mix.add(END, bass(38, 2.4), 0.28, 0.5, 0.05)
    mix.add(END + 1.5, string(rng, 86, 1.8, True), 0.3, 0.62, 0.7)
    return mix


def main():
    mix = compose()
    left = [dry + 0.07 * wet for dry, wet in zip(mix.left, reverb(mix.room, 0))]
    right = [dry + 0.07 * wet for dry, wet in zip(mix.right, reverb(mix.room, 23))]
    gain = 10 ** (-1.6 / 20) / max(max(map(abs, left)), max(map(abs, right)))
    fade = int(RATE * 0.5)
    data = bytearray()
    for n, pair in enumerate(zip(left, right)):
        tail = min(1.0, (FRAMES - 1 - n) / fade)
        for sample in pair:
            data += round(sample * gain * tail * 8_388_607).to_bytes(3, "little", signed=True)
    with wave.open(sys.argv[1], "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(3)
        out.setframerate(RATE)
        out.writeframes(bytes(data))


main()
