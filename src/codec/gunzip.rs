//! gzip and zlib, with a cap on what comes out.
//!
//! What nearly every record is, one plain gzip member, is inflated by libdeflate, in half the time of
//! any reader of streams. Everything else, and whatever is wrong, is left to a reader of our own: the
//! gzip frame (RFC 1952) is read here and the deflate stream by flate2. Three things are done
//! differently from `flate2::bufread::GzDecoder`: all members are read, what follows the last
//! member is looked at, and the inflate state is kept for the next payload, because on small
//! records setting it up costs more than inflating.

use std::cell::RefCell;

use libdeflater::Decompressor;
use memchr::memmem;

use flate2::{Compression, Crc, Decompress, FlushDecompress, Status, write::GzEncoder};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

// Bits of the gzip flag byte, RFC 1952 section 2.3.1.
const FHCRC: u8 = 0x02;
const FEXTRA: u8 = 0x04;
const FNAME: u8 = 0x08;
const FCOMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// Why a compressed payload was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GunzipError {
    /// The payload ends inside a header, the deflate stream or a trailer.
    #[error("compressed data ends early")]
    Truncated,
    /// The gzip header is not one of RFC 1952.
    #[error("bad gzip header: {0}")]
    Header(&'static str),
    /// The deflate stream, or the checksum of a zlib stream, is wrong.
    #[error("corrupt compressed data")]
    Corrupt,
    /// The CRC-32 of a gzip trailer does not fit the data.
    #[error("gzip checksum does not match the data")]
    Checksum,
    /// The length (ISIZE) of a gzip trailer does not fit the data.
    #[error("gzip length does not match the data")]
    Length,
    /// Something other than a gzip member or zero bytes follows the data.
    #[error("unexpected bytes after the compressed data, from byte {offset}")]
    Trailing {
        /// Where they start in the payload.
        offset: usize,
    },
    /// The data is larger than allowed.
    #[error("decompressed data is larger than {cap} bytes")]
    TooLarge {
        /// The largest size allowed.
        cap: usize,
    },
}

impl GunzipError {
    /// A short stable name, for metrics and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Header(_) => "bad-header",
            Self::Corrupt => "corrupt",
            Self::Checksum => "bad-checksum",
            Self::Length => "bad-length",
            Self::Trailing { .. } => "trailing-bytes",
            Self::TooLarge { .. } => "too-large",
        }
    }
}

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
    static INFLATE_MEMBER: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Most bytes that a thread keeps for the next payload. Nearly all records inflate to less.
const MOST_KEPT: usize = 1 << 20;

/// Whether these bytes start as a gzip member does.
pub fn is_gzip(data: &[u8]) -> bool {
    data.starts_with(&GZIP_MAGIC)
}

/// Whether these bytes start as a zlib stream does (RFC 1950): deflate with the usual 32 KiB window,
/// no preset dictionary, and a header that is a multiple of 31.
pub fn is_zlib(data: &[u8]) -> bool {
    match data {
        [0x78, flags, ..] => flags & 0x20 == 0 && (0x7800 + u16::from(*flags)) % 31 == 0,
        _ => false,
    }
}

/// Inflates all gzip members and returns their data, one after the other.
///
/// Zero bytes after the last member are accepted, as gzip(1) does: block devices and some producers
/// pad. Anything else after it is refused, since it would be lost without a word.
///
/// # Errors
/// [`GunzipError`]; `TooLarge` when all members together hold more than `cap` bytes. No more than
/// `cap` bytes are ever allocated, whatever the trailer promises.
pub fn gunzip(data: &[u8], cap: usize) -> Result<Vec<u8>, GunzipError> {
    let mut out = Vec::new();
    match one_member(data, cap, &mut out) {
        Some(size) => {
            out.truncate(size);
            Ok(out)
        }
        None => all_members(data, cap),
    }
}

/// [`gunzip`] for one look at the data: its memory is kept for the next payload. Asking for new memory
/// and clearing it costs a tenth of inflating.
///
/// # Errors
/// As [`gunzip`].
pub(super) fn with_gunzip<T>(
    data: &[u8],
    cap: usize,
    look: impl FnOnce(&[u8]) -> T,
) -> Result<T, GunzipError> {
    let mut plain = PLAIN.take();
    let Some(size) = one_member(data, cap, &mut plain) else {
        return all_members(data, cap).map(|out| look(&out));
    };
    let seen = look(plain.get(..size).unwrap_or_default());
    if plain.len() <= MOST_KEPT {
        PLAIN.set(plain);
    }
    Ok(seen)
}

/// Deflate makes nothing smaller than this: 258 bytes of two bits.
const MOST_RATIO: usize = 1032;

/// Inflates a payload that is one member without optional header fields, and nothing else, into the
/// beginning of `out`, which grows as it must, and returns the size. `None` says nothing about the
/// payload.
///
/// libdeflate stops at the end of the first member, and does not say where that was. But it has found
/// the length of the data there (ISIZE); so if the last four bytes of the payload are that length, and
/// stand nowhere else, they are where it stopped.
fn one_member(data: &[u8], cap: usize, out: &mut Vec<u8>) -> Option<usize> {
    let (header, body) = data.split_first_chunk::<10>()?;
    let [m0, m1, 8, 0, ..] = *header else { return None };
    let isize = body.last_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*isize)).ok()?;
    // A trailer that lies must not cost memory.
    let believable = size <= cap && size <= data.len().saturating_mul(MOST_RATIO);
    let only = || memmem::find(body, isize).is_some_and(|at| at + isize.len() == body.len());
    if [m0, m1] != GZIP_MAGIC || !believable || !only() {
        return None;
    }
    if out.len() < size {
        *out = vec![0; size];
    }
    let out = out.get_mut(..size)?;
    let inflated = INFLATE_MEMBER.with_borrow_mut(|inflate| inflate.gzip_decompress(data, out));
    (inflated.ok()? == size).then_some(size)
}

fn all_members(data: &[u8], cap: usize) -> Result<Vec<u8>, GunzipError> {
    let mut out = first_guess(data, cap);
    let mut rest = data;
    loop {
        let body = skip_header(rest)?;
        let start = out.len();
        let body = inflate_onto(&mut out, body, cap, false)?;
        let (trailer, after) = body.split_first_chunk::<8>().ok_or(GunzipError::Truncated)?;
        check_trailer(*trailer, out.get(start..).unwrap_or_default())?;
        if after.iter().all(|byte| *byte == 0) {
            return Ok(out);
        }
        if !is_gzip(after) {
            return Err(GunzipError::Trailing { offset: data.len().saturating_sub(after.len()) });
        }
        rest = after;
    }
}

/// Inflates one zlib stream. Trailing zero bytes are accepted, as by [`gunzip`].
///
/// # Errors
/// As [`gunzip`].
pub fn inflate_zlib(data: &[u8], cap: usize) -> Result<Vec<u8>, GunzipError> {
    let mut out = first_guess(data, cap);
    let after = inflate_onto(&mut out, data, cap, true)?;
    if after.iter().all(|byte| *byte == 0) {
        return Ok(out);
    }
    Err(GunzipError::Trailing { offset: data.len().saturating_sub(after.len()) })
}

/// Writes one gzip member the way CloudWatch Logs does: level 6, no name, no time.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(data).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail")
}

/// Writes a zlib stream. The crate reads them only.
#[cfg(test)]
pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Room for about what log text of this size inflates to. The length in the trailer is not used: a
/// small record could promise 4 GiB.
fn first_guess(data: &[u8], cap: usize) -> Vec<u8> {
    Vec::with_capacity(data.len().saturating_mul(8).clamp(512, 1 << 20).min(cap))
}

/// Appends one deflate (or zlib) stream to `out` and returns the input after it.
fn inflate_onto<'d>(
    out: &mut Vec<u8>,
    input: &'d [u8],
    cap: usize,
    zlib: bool,
) -> Result<&'d [u8], GunzipError> {
    INFLATE.with_borrow_mut(|state| {
        state.reset(zlib);
        loop {
            let before = (state.total_in(), state.total_out());
            let rest = after(input, state);
            let full = out.len() == out.capacity() && !grow(out, cap);
            let status = if full {
                // The stream may end exactly at the cap: one byte more tells.
                state.decompress(rest, &mut [0], FlushDecompress::Finish)
            } else {
                state.decompress_vec(rest, out, FlushDecompress::Finish)
            };
            let status = status.map_err(|_| GunzipError::Corrupt)?;
            if out.len() > cap || (full && state.total_out() > before.1) {
                return Err(GunzipError::TooLarge { cap });
            }
            if status == Status::StreamEnd {
                return Ok(after(input, state));
            }
            // There was room to write, so only more input could have helped.
            if (state.total_in(), state.total_out()) == before {
                return Err(GunzipError::Truncated);
            }
        }
    })
}

fn after<'d>(input: &'d [u8], state: &Decompress) -> &'d [u8] {
    let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
    input.get(consumed..).unwrap_or_default()
}

/// Doubles the room, up to the cap; false when the cap is reached.
fn grow(out: &mut Vec<u8>, cap: usize) -> bool {
    let more = out.len().max(512).min(cap.saturating_sub(out.len()));
    out.reserve_exact(more);
    more > 0
}

fn check_trailer(trailer: [u8; 8], member: &[u8]) -> Result<(), GunzipError> {
    let [c0, c1, c2, c3, l0, l1, l2, l3] = trailer;
    let mut crc = Crc::new();
    crc.update(member);
    if crc.sum() != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(GunzipError::Checksum);
    }
    // ISIZE is the length modulo 2^32, and so is `Crc::amount`.
    if crc.amount() != u32::from_le_bytes([l0, l1, l2, l3]) {
        return Err(GunzipError::Length);
    }
    Ok(())
}

/// Returns what follows a member's header.
fn skip_header(data: &[u8]) -> Result<&[u8], GunzipError> {
    let ([m0, m1, method, flags, ..], mut rest) =
        data.split_first_chunk::<10>().ok_or(GunzipError::Truncated)?;
    if [*m0, *m1] != GZIP_MAGIC {
        return Err(GunzipError::Header("no gzip magic"));
    }
    if *method != 8 {
        return Err(GunzipError::Header("compression method is not deflate"));
    }
    if flags & RESERVED != 0 {
        return Err(GunzipError::Header("reserved flags are set"));
    }
    if flags & FEXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(GunzipError::Truncated)?;
        let length = usize::from(u16::from_le_bytes(*length));
        rest = after.get(length..).ok_or(GunzipError::Truncated)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(GunzipError::Truncated)?;
            rest = rest.get(end + 1..).ok_or(GunzipError::Truncated)?;
        }
    }
    if flags & FHCRC == 0 {
        return Ok(rest);
    }
    let mut crc = Crc::new();
    crc.update(data.get(..data.len() - rest.len()).unwrap_or_default());
    let (sum, rest) = rest.split_first_chunk::<2>().ok_or(GunzipError::Truncated)?;
    if crc.sum() & 0xffff != u32::from(u16::from_le_bytes(*sum)) {
        return Err(GunzipError::Header("header checksum does not match"));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: usize = 1 << 20;

    fn short_way(data: &[u8], cap: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let size = one_member(data, cap, &mut out)?;
        out.truncate(size);
        Some(out)
    }

    /// A member with the given flags and optional fields in front of the deflate stream of `hello`.
    fn with_header(flags: u8, fields: &[u8]) -> Vec<u8> {
        let plain = gzip(b"hello");
        let mut member = plain[..10].to_vec();
        member[3] = flags;
        member.extend_from_slice(fields);
        member.extend_from_slice(&plain[10..]);
        member
    }

    #[test]
    fn reads_every_member_and_ignores_zero_padding() {
        let mut data = gzip(b"one ");
        data.extend(gzip(b""));
        data.extend(gzip(b"two"));
        data.extend([0; 13]);
        assert_eq!(gunzip(&data, CAP).unwrap(), b"one two");
    }

    #[test]
    fn refuses_what_would_be_lost() {
        let good = gzip(b"hello");
        let with = |tail: &[u8]| [&good, tail].concat();
        let check = |data: &[u8], expect: GunzipError| {
            assert_eq!(gunzip(data, CAP), Err(expect), "{data:x?}");
        };
        check(&with(b"\n"), GunzipError::Trailing { offset: good.len() });
        check(&with(b"\0\0x"), GunzipError::Trailing { offset: good.len() });
        check(&with(&[0x1f, 0x8b]), GunzipError::Truncated);
        check(b"", GunzipError::Truncated);
        check(b"hello hello hello", GunzipError::Header("no gzip magic"));
        for end in 0..good.len() {
            check(&good[..end], GunzipError::Truncated);
        }
        let flip = |back: usize| {
            let mut data = good.clone();
            let at = data.len() - back;
            data[at] ^= 1;
            data
        };
        check(&flip(8), GunzipError::Checksum);
        check(&flip(4), GunzipError::Length);
        check(&[&good[..10], &[0xff; 20]].concat(), GunzipError::Corrupt);
    }

    #[test]
    fn reads_optional_header_fields() {
        let ok = |data: &[u8]| assert_eq!(gunzip(data, CAP).unwrap(), b"hello");
        ok(&with_header(FEXTRA, b"\x04\0abcd"));
        ok(&with_header(FNAME, b"name\0"));
        ok(&with_header(FEXTRA | FNAME | FCOMMENT | 1, b"\0\0n\0comment\0"));
        let mut crc = Crc::new();
        crc.update(&with_header(FHCRC, b"")[..10]);
        let sum = &crc.sum().to_le_bytes()[..2];
        ok(&with_header(FHCRC, sum));
        let refused = |data: &[u8]| assert!(gunzip(data, CAP).is_err());
        refused(&with_header(FHCRC, b"\0\0"));
        refused(&with_header(0x20, b""));
        refused(&with_header(FNAME, b"")[..12]);
        refused(&with_header(FEXTRA, b"\xff\xff"));
    }

    proptest! {
        /// Whatever is appended to a member, or done to it: the short way never knows better.
        #[test]
        fn both_ways_are_one(
            plain: Vec<u8>,
            more in prop::option::of(any::<Vec<u8>>()),
            tail: Vec<u8>,
            trailer_again: bool,
            flip in prop::option::of((any::<prop::sample::Index>(), 0u8..8)),
        ) {
            let mut data = gzip(&plain);
            data.extend(more.map(|more| gzip(&more)).unwrap_or_default());
            data.extend(tail);
            if trailer_again {
                let trailer = gzip(&plain).split_off(gzip(&plain).len() - 8);
                data.extend(trailer);
            }
            if let Some((at, bit)) = flip {
                let at = at.index(data.len());
                data[at] ^= 1u8 << bit;
            }
            for cap in [CAP, plain.len(), plain.len().saturating_sub(1)] {
                if let Some(short) = short_way(&data, cap) {
                    prop_assert_eq!(Ok(short), all_members(&data, cap));
                }
            }
        }

        #[test]
        fn a_plain_member_goes_the_short_way(plain in prop::collection::vec(any::<u8>(), 300..900)) {
            // Not when the length stands in the data too, which is rare.
            let packed = gzip(&plain);
            let (body, isize) = (&packed[10..], &packed[packed.len() - 4..]);
            prop_assume!(memmem::find_iter(body, isize).count() == 1);
            prop_assert_eq!(short_way(&gzip(&plain), CAP), Some(plain));
        }

        #[test]
        fn nothing_of_one_payload_is_seen_in_the_next(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 1..5),
            flip in any::<prop::sample::Index>(),
        ) {
            for plain in payloads {
                let mut data = gzip(&plain);
                prop_assert_eq!(with_gunzip(&data, CAP, <[u8]>::to_vec), Ok(plain));
                let at = flip.index(data.len());
                data[at] ^= 1;
                prop_assert_eq!(with_gunzip(&data, CAP, <[u8]>::to_vec), gunzip(&data, CAP));
            }
        }
    }

    #[test]
    fn a_second_member_of_the_same_length_is_not_lost() {
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(gunzip(&two, CAP).unwrap(), b"onetwo");
        let again = [gzip(b"one"), gzip(b"one")].concat();
        assert_eq!(gunzip(&again, CAP).unwrap(), b"oneone");
    }

    #[test]
    fn holds_the_cap_to_the_byte() {
        let data = gzip(&vec![b'a'; 5000]);
        assert_eq!(gunzip(&data, 5000).unwrap().len(), 5000);
        assert_eq!(gunzip(&data, 4999), Err(GunzipError::TooLarge { cap: 4999 }));
        let two = [data.clone(), data].concat();
        assert_eq!(gunzip(&two, 9999), Err(GunzipError::TooLarge { cap: 9999 }));
        assert_eq!(gunzip(&two, 10_000).unwrap().len(), 10_000);
        assert_eq!(gunzip(&gzip(b""), 0).unwrap(), b"");
        assert_eq!(gunzip(&gzip(b"a"), 0), Err(GunzipError::TooLarge { cap: 0 }));
    }

    #[test]
    fn a_bomb_stops_at_the_cap_and_the_state_stays_usable() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(gunzip(&bomb, CAP), Err(GunzipError::TooLarge { cap: CAP }));
        assert_eq!(gunzip(&gzip(b"next"), CAP).unwrap(), b"next");
        assert_eq!(gunzip(&bomb, 64 << 20).unwrap().len(), 64 << 20);
    }

    #[test]
    fn reads_zlib() {
        let data = zlib(b"hello hello hello");
        assert!(is_zlib(&data));
        assert_eq!(inflate_zlib(&data, CAP).unwrap(), b"hello hello hello");
        assert_eq!(inflate_zlib(&data, 5), Err(GunzipError::TooLarge { cap: 5 }));
        for end in 0..data.len() {
            assert_eq!(inflate_zlib(&data[..end], CAP), Err(GunzipError::Truncated), "{end}");
        }
        let mut bad = data.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(inflate_zlib(&bad, CAP), Err(GunzipError::Corrupt));
        let tail = [&data[..], b"x"].concat();
        assert_eq!(inflate_zlib(&tail, CAP), Err(GunzipError::Trailing { offset: data.len() }));
    }

    #[test]
    fn tells_zlib_from_text() {
        let zlib = |data: &[u8]| is_zlib(data);
        for level in [0x01, 0x5e, 0x9c, 0xda] {
            assert!(zlib(&[0x78, level]));
        }
        assert!(!zlib(b"x"));
        assert!(!zlib(b"xml"));
        assert!(!zlib(b"{}"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>, cap in 0_usize..4096) {
            for result in [gunzip(&data, cap), inflate_zlib(&data, cap)] {
                prop_assert!(result.map_or(true, |out| out.len() <= cap));
            }
        }

        #[test]
        fn damage_never_passes_the_cap_nor_goes_unnoticed(
            data in prop::collection::vec(0_u8..4, 1..2000),
            at: prop::sample::Index,
            bit in 0_u8..8,
            cap in 0_usize..4096,
        ) {
            let mut damaged = gzip(&data);
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            if let Ok(out) = gunzip(&damaged, cap) {
                prop_assert!(out.len() <= cap);
                prop_assert_eq!(out, data);
            }
        }

        #[test]
        fn members_concatenate(parts: Vec<Vec<u8>>) {
            prop_assume!(!parts.is_empty());
            let data: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            prop_assert_eq!(gunzip(&data, CAP).unwrap(), parts.concat());
        }
    }
}
