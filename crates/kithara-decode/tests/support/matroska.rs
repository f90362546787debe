//! Matroska files put together by hand (RFC 9559): their clusters, times and cues as a test wants them.

/// A block of one frame.
#[derive(Clone)]
pub struct Block {
    pub track: u8,
    pub millis: u64,
    pub frame: Vec<u8>,
}

/// A cue: its time, its track and the number of the cluster it points to.
pub type Cue = (u64, u64, usize);

/// A file of these tracks and clusters, and where its cues begin; they come last, and the front tells where.
pub fn film(tracks: &[u8], clusters: &[Vec<Block>], cues: &[Cue]) -> (Vec<u8>, u64) {
    let seek_head = |at: u64| {
        let seek = [
            element(&[0x53, 0xab], &[0x1c, 0x53, 0xbb, 0x6b]),
            element(&[0x53, 0xac], &number(at)),
        ];
        element(
            &[0x11, 0x4d, 0x9b, 0x74],
            &element(&[0x4d, 0xbb], &seek.concat()),
        )
    };
    let front = seek_head(0).len() + tracks.len();
    let (mut media, mut places) = (Vec::new(), Vec::new());
    for blocks in clusters {
        places.push((front + media.len()) as u64);
        media.extend(cluster(blocks));
    }
    let points = cues.iter().flat_map(|(millis, track, cluster)| {
        let place = [
            element(&[0xf7], &number(*track)),
            element(&[0xf1], &number(places[*cluster])),
        ];
        let point = [
            element(&[0xb3], &number(*millis)),
            element(&[0xb7], &place.concat()),
        ];
        element(&[0xbb], &point.concat())
    });
    let cues = element(&[0x1c, 0x53, 0xbb, 0x6b], &points.collect::<Vec<_>>());
    let head = element(
        &[0x1a, 0x45, 0xdf, 0xa3],
        &element(&[0x42, 0x82], b"matroska"),
    );
    let body = [
        seek_head((front + media.len()) as u64),
        tracks.to_vec(),
        media,
        cues.clone(),
    ];
    let file = [head, element(&[0x18, 0x53, 0x80, 0x67], &body.concat())].concat();
    let from = (file.len() - cues.len()) as u64;
    (file, from)
}

fn cluster(blocks: &[Block]) -> Vec<u8> {
    let start = blocks[0].millis;
    let mut body = element(&[0xe7], &number(start));
    for block in blocks {
        let delta = block.millis.wrapping_sub(start) as i16;
        let head = [
            [0x80 | block.track].as_slice(),
            &delta.to_be_bytes(),
            &[0x80],
        ]
        .concat();
        body.extend(element(&[0xa3], &[head, block.frame.clone()].concat()));
    }
    element(&[0x1f, 0x43, 0xb6, 0x75], &body)
}

/// A video track with the number 2, and mono PCM of 16 bits with the number 1.
pub fn video_and_pcm_tracks(rate: usize) -> Vec<u8> {
    let video = [
        element(&[0xd7], &number(2)),
        element(&[0x83], &number(1)),
        element(&[0x86], b"V_VP9"),
    ];
    let tracks = [element(&[0xae], &video.concat()), pcm_entry(rate)];
    element(&[0x16, 0x54, 0xae, 0x6b], &tracks.concat())
}

/// The tracks of mono PCM of 16 bits.
pub fn pcm_tracks(rate: usize) -> Vec<u8> {
    element(&[0x16, 0x54, 0xae, 0x6b], &pcm_entry(rate))
}

fn pcm_entry(rate: usize) -> Vec<u8> {
    let audio = [
        element(&[0xb5], &(rate as f64).to_be_bytes()),
        element(&[0x9f], &number(1)),
        element(&[0x62, 0x64], &number(16)),
    ];
    let entry = [
        element(&[0xd7], &number(1)),
        element(&[0x83], &number(2)),
        element(&[0x86], b"A_PCM/INT/LIT"),
        element(&[0xe1], &audio.concat()),
    ];
    element(&[0xae], &entry.concat())
}

/// The tracks of a file, as they stand there, and its blocks.
pub fn parts(file: &[u8]) -> (Vec<u8>, Vec<Block>) {
    let (mut tracks, mut blocks) = (Vec::new(), Vec::new());
    let (mut at, mut start) = (0, 0);
    while at < file.len() {
        let (id, size, body) = head(&file[at..]);
        let content = at + body..at + body + size;
        match id {
            // Their children are met one by one.
            0x1853_8067 | 0x1f43_b675 | 0xa0 => {
                at += body;
                continue;
            }
            0x1654_ae6b => tracks = file[at..content.end].to_vec(),
            0xe7 => {
                start = file[content.clone()]
                    .iter()
                    .fold(0, |n, b| n << 8 | u64::from(*b));
            }
            0xa3 | 0xa1 => {
                let block = &file[content.clone()];
                let delta = i16::from_be_bytes([block[1], block[2]]);
                assert_eq!(block[3] >> 1 & 3, 0, "no lacing");
                blocks.push(Block {
                    track: block[0] & 0x7f,
                    millis: start.saturating_add_signed(delta.into()),
                    frame: block[4..].to_vec(),
                });
            }
            _ => {}
        }
        at = content.end;
    }
    (tracks, blocks)
}

/// An element's id, the size of its body, and where that begins.
fn head(bytes: &[u8]) -> (u64, usize, usize) {
    let read = |at: usize| {
        let width = bytes[at].leading_zeros() as usize + 1;
        let value = bytes[at..at + width]
            .iter()
            .fold(0, |n, b| n << 8 | u64::from(*b));
        (value, width)
    };
    let (id, width) = read(0);
    let (size, size_width) = read(width);
    let size = size & ((1 << (7 * size_width)) - 1);
    (id, size as usize, width + size_width)
}

/// An element whose size is written in eight bytes (RFC 8794).
pub fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = 1u64 << 56 | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}

pub fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}
