//! Planes of decoded samples, interleaved behind what a block holds already.

use symphonia::core::audio::{Audio, AudioBuffer, GenericAudioBufferRef};

use crate::backend::{Decoded, Samples};

/// Appends the frames from `first` on. Memory for them has been reserved.
pub(crate) fn append(decoded: &Decoded<'_>, first: usize, pcm: &mut Vec<f32>) {
    match &decoded.samples {
        Samples::Interleaved(samples) => {
            let first = first * usize::from(decoded.spec.channels.get());
            pcm.extend_from_slice(samples.get(first..).unwrap_or_default());
        }
        Samples::Buffer(buffer) => append_planes(buffer, first, pcm),
    }
}

fn append_planes(decoded: &GenericAudioBufferRef<'_>, first: usize, pcm: &mut Vec<f32>) {
    if let GenericAudioBufferRef::F32(buffer) = decoded
        && append_floats(buffer, first, pcm)
    {
        return;
    }
    let kept = decoded.slice(first..);
    let from = pcm.len();
    pcm.resize(from + kept.samples_interleaved(), 0.0);
    kept.copy_to_slice_interleaved(&mut pcm[from..]);
}

/// Whether the samples were decoded as floats, which need not be finite.
pub(crate) fn is_float(decoded: &Decoded<'_>) -> bool {
    matches!(
        decoded.samples,
        Samples::Interleaved(_)
            | Samples::Buffer(GenericAudioBufferRef::F32(_) | GenericAudioBufferRef::F64(_))
    )
}

/// One or two planes of what AAC, MPEG audio and Vorbis decode to, without writing zeros first: two to three percent of a
/// whole decode. Whether there are so few.
fn append_floats(buffer: &AudioBuffer<f32>, first: usize, pcm: &mut Vec<f32>) -> bool {
    match (buffer.num_planes(), buffer.plane(0), buffer.plane(1)) {
        (1, Some(only), _) => pcm.extend_from_slice(&only[first..]),
        (2, Some(left), Some(right)) => {
            let pairs = left[first..].iter().zip(&right[first..]);
            pcm.extend(pairs.flat_map(|(left, right)| [*left, *right]));
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use symphonia::core::audio::conv::{FromSample, IntoSample};
    use symphonia::core::audio::sample::Sample;
    use symphonia::core::audio::{AudioMut, AudioSpec};

    use super::*;
    use crate::codec;

    /// Planes whose samples tell their channel and frame.
    fn planes<S: Sample + FromSample<f32>>(count: u16) -> AudioBuffer<S> {
        let mut buffer = AudioBuffer::new(AudioSpec::new(8_000, codec::channels(count)), 5);
        buffer.render_uninit(Some(5));
        for channel in 0..usize::from(count) {
            let plane = buffer.plane_mut(channel).expect("a plane");
            for (frame, sample) in plane.iter_mut().enumerate() {
                *sample = value(channel, frame).into_sample();
            }
        }
        buffer
    }

    fn value(channel: usize, frame: usize) -> f32 {
        channel as f32 / 16.0 + frame as f32 / 128.0
    }

    #[test]
    fn frames_are_appended_in_order_of_their_channels() {
        for count in 1..=6 {
            let (float, wide, narrow) = (
                planes::<f32>(count),
                planes::<i32>(count),
                planes::<i16>(count),
            );
            let buffers = [
                GenericAudioBufferRef::F32(&float),
                GenericAudioBufferRef::S32(&wide),
                GenericAudioBufferRef::S16(&narrow),
            ];
            for (number, buffer) in buffers.iter().enumerate() {
                for first in [0, 2, 5] {
                    let mut pcm = vec![9.0];
                    append_planes(buffer, first, &mut pcm);
                    let mut expected = vec![9.0];
                    for frame in first..5 {
                        expected
                            .extend((0..usize::from(count)).map(|channel| value(channel, frame)));
                    }
                    assert_eq!(
                        pcm, expected,
                        "{count} channels, format {number}, from {first}"
                    );
                }
            }
        }
    }
}
