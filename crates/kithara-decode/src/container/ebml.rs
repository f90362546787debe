//! The elements Matroska is made of (RFC 8794).

use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::memory;

/// An element: its id, and how many bytes its body has if that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub(crate) id: u32,
    pub(crate) size: Option<u64>,
    /// The offset of the body.
    pub(crate) body: u64,
}

impl Element {
    /// The offset behind it.
    pub(crate) fn end(&self) -> Option<u64> {
        self.body.checked_add(self.size?)
    }
}

/// Reads the head of the element at the input's position and moves behind it; `None` at the end of the bytes.
pub(crate) fn next(input: &mut Input) -> Result<Option<Element>> {
    if input.peek(1)?.is_empty() {
        return Ok(None);
    }
    let (id, _) = number(input, 4, true)?;
    let (size, unknown) = number(input, 8, false)?;
    Ok(Some(Element {
        id: id as u32,
        size: (!unknown).then_some(size),
        body: input.pos(),
    }))
}

/// A number of variable width, with its marker or without; whether all its bits are ones.
fn number(input: &mut Input, longest: u32, marked: bool) -> Result<(u64, bool)> {
    let first = input.take(1)?[0];
    let width = first.leading_zeros() + 1;
    if width > longest {
        return Err(Fault::corrupt("an element that is none"));
    }
    let mut value = u64::from(first);
    for byte in input.take(width as usize - 1)? {
        value = value << 8 | u64::from(*byte);
    }
    let mask = (1u64 << (7 * width)) - 1;
    let plain = value & mask;
    Ok((if marked { value } else { plain }, plain == mask))
}

/// The numbers of variable width within a block, which the caller cuts.
pub(crate) fn number_in(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = first.leading_zeros() as usize + 1;
    if width > 8 {
        return None;
    }
    let value = bytes
        .get(..width)?
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((value & ((1u64 << (7 * width)) - 1), width))
}

/// The body of a small element.
pub(crate) fn body(input: &mut Input, element: &Element, limit: u64) -> Result<Vec<u8>> {
    match element.size {
        Some(size) if size <= limit => Ok(memory::copy(input.take(size as usize)?)?),
        _ => Err(Fault::TooLarge {
            what: "a Matroska element",
            limit,
        }),
    }
}

/// The body of an element that is a number, which costs no memory.
pub(crate) fn scalar<'a>(input: &'a mut Input, element: &Element) -> Result<&'a [u8]> {
    match element.size {
        Some(size @ ..=8) => input.take(size as usize),
        _ => Err(Fault::TooLarge {
            what: "a Matroska number",
            limit: 8,
        }),
    }
}

pub(crate) fn unsigned(body: &[u8]) -> u64 {
    body.iter()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(crate) fn float(body: &[u8]) -> f64 {
    match body.len() {
        4 => f32::from_be_bytes(crate::codec::array(body, 0)).into(),
        8 => f64::from_be_bytes(crate::codec::array(body, 0)),
        _ => 0.0,
    }
}

/// A child of a master element of which the front is held in memory.
pub(crate) struct Part<'a> {
    pub(crate) id: u32,
    /// The bytes of its body.
    pub(crate) size: u64,
    /// As many of them as there are.
    pub(crate) front: &'a [u8],
}

/// The children of a master element, the last of which may be cut.
pub(crate) fn parts(mut rest: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let width = rest.first()?.leading_zeros() as usize + 1;
        let id = rest.get(..width).filter(|_| width <= 4)?;
        let id = id
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        let (size, size_width) = number_in(&rest[width..])?;
        let body = &rest[width + size_width..];
        let have = usize::try_from(size).map_or(body.len(), |size| size.min(body.len()));
        let (front, tail) = body.split_at(have);
        rest = tail;
        Some(Part { id, size, front })
    })
}

/// The children of a master element that is held in memory.
pub(crate) fn children(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    parts(body)
        .take_while(|part| part.front.len() as u64 == part.size)
        .map(|part| (part.id, part.front))
}
