//! The elementary stream descriptor of an `esds` box (ISO/IEC 14496-1 §7.2.6).

use super::boxes::Bytes;
use super::error::Mp4Error;

/// What an `esds` box says of its stream.
#[derive(Debug, Default)]
pub(super) struct StreamDescriptor<'a> {
    /// ObjectTypeIndication (14496-1 §7.2.6.6, registered at mp4ra.org).
    pub object_type: u8,
    /// DecoderSpecificInfo, for AAC the AudioSpecificConfig.
    pub specific: Option<&'a [u8]>,
}

const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC: u8 = 5;

impl<'a> StreamDescriptor<'a> {
    /// Reads the body of an `esds` box.
    pub fn parse(mut esds: Bytes<'a>) -> Result<Self, Mp4Error> {
        esds.full_box()?;
        let mut es =
            find(&mut esds, ES_DESCRIPTOR)?.ok_or_else(|| esds.fail("no ES descriptor"))?;
        es.skip(2)?;
        let flags = es.u8()?;
        if flags & 0x80 != 0 {
            es.skip(2)?;
        }
        if flags & 0x40 != 0 {
            let len = es.u8()?;
            es.skip(usize::from(len))?;
        }
        if flags & 0x20 != 0 {
            es.skip(2)?;
        }
        let mut config =
            find(&mut es, DECODER_CONFIG)?.ok_or_else(|| esds.fail("no decoder configuration"))?;
        let object_type = config.u8()?;
        // Stream type, buffer size, maximum and average bit rate.
        config.skip(12)?;
        let specific = find(&mut config, DECODER_SPECIFIC)?.map(|bytes| bytes.rest());
        Ok(Self {
            object_type,
            specific,
        })
    }
}

/// The next descriptor with `tag`, others skipped. Lengths are up to four 7-bit groups (§8.3.3).
fn find<'a>(bytes: &mut Bytes<'a>, tag: u8) -> Result<Option<Bytes<'a>>, Mp4Error> {
    while bytes.rest().len() >= 2 {
        let found = bytes.u8()?;
        let mut len = 0;
        for _ in 0..4 {
            let group = bytes.u8()?;
            len = (len << 7) | usize::from(group & 0x7f);
            if group & 0x80 == 0 {
                break;
            }
        }
        // Some writers claim more than there is in the outermost descriptors.
        let body = bytes.sub(len.min(bytes.rest().len()))?;
        if found == tag {
            return Ok(Some(body));
        }
    }
    Ok(None)
}
