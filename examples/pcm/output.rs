//! Where the samples go.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};

use hound::{SampleFormat, WavSpec, WavWriter};
use kithara::PcmSpec;

use crate::AnyError;
use crate::args::{Args, Format, Target};

pub enum Output {
    Nowhere,
    Stdout(Stdout),
    Raw(BufWriter<File>),
    Wav(Option<WavWriter<BufWriter<File>>>),
}

impl Output {
    pub fn open(args: &Args, spec: PcmSpec) -> Result<Self, AnyError> {
        let path = match &args.target {
            Target::Nowhere => return Ok(Self::Nowhere),
            Target::Stdout => return Ok(Self::Stdout(io::stdout())),
            Target::File(path) => path,
        };
        let file = BufWriter::new(File::create(path)?);
        if args.format == Format::F32le {
            return Ok(Self::Raw(file));
        }
        let spec = WavSpec {
            channels: spec.channels.get(),
            sample_rate: spec.sample_rate.get(),
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        Ok(Self::Wav(Some(WavWriter::new(file, spec)?)))
    }

    pub fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    /// Writes one block; on standard output it is on its way when this returns.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), AnyError> {
        match self {
            Self::Nowhere => {}
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                write_raw(&mut stdout, samples)?;
                stdout.flush()?;
            }
            Self::Raw(file) => write_raw(file, samples)?,
            Self::Wav(writer) => {
                for sample in samples {
                    if let Some(writer) = writer {
                        writer.write_sample(*sample)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Completes the file: a WAV header states the length that was written.
    pub fn finish(&mut self) -> Result<(), AnyError> {
        match self {
            Self::Nowhere | Self::Stdout(_) => {}
            Self::Raw(file) => file.flush()?,
            Self::Wav(writer) => {
                if let Some(writer) = writer.take() {
                    writer.finalize()?;
                }
            }
        }
        Ok(())
    }
}

fn write_raw(out: &mut impl Write, samples: &[f32]) -> io::Result<()> {
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    out.write_all(&bytes)
}
