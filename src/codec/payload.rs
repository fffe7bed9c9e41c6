//! What the bytes are: gzip, zlib, base64 text of either, or plain.
//!
//! CloudWatch Logs writes raw gzip. The other forms come from code that puts records again: Lambda
//! functions often store the base64 text that they were handed, or plain JSON.

use std::borrow::Cow;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use super::{
    deaggregate,
    gunzip::{self, GunzipError},
};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_TEXT: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_TEXT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Reads base64 text: standard or URL-safe, padded or not, with white space anywhere (`base64(1)`
/// wraps its lines). `None` when it is not base64.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut text = Cow::Borrowed(text.trim_ascii());
    if text.iter().any(u8::is_ascii_whitespace) {
        text.to_mut().retain(|byte| !byte.is_ascii_whitespace());
    }
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE_TEXT } else { STANDARD_TEXT };
    engine.decode(&*text).ok()
}

/// The record's bytes in a captured payload: either the payload itself, or what its base64 text
/// holds, if that is something known (gzip, zlib, a KPL aggregate, or JSON).
pub fn record_bytes(captured: &Bytes) -> Bytes {
    match unwrap_base64(captured) {
        Some(bytes) => Bytes::from(bytes),
        None => captured.clone(),
    }
}

/// Inflates gzip; anything else is returned as it is. Text is never taken for gzip: its second byte
/// begins no UTF-8 character.
///
/// # Errors
/// [`GunzipError`].
pub fn inflate_gzip(data: &[u8], cap: usize) -> Result<Cow<'_, [u8]>, GunzipError> {
    match gunzip::is_gzip(data) {
        true => gunzip::gunzip(data, cap).map(Cow::Owned),
        false => Ok(Cow::Borrowed(data)),
    }
}

/// Inflates gzip and zlib; anything else is returned as it is.
///
/// # Errors
/// [`GunzipError`].
pub fn inflate(data: &[u8], cap: usize) -> Result<Cow<'_, [u8]>, GunzipError> {
    match gunzip::is_zlib(data) {
        true => gunzip::inflate_zlib(data, cap).map(Cow::Owned),
        false => inflate_gzip(data, cap),
    }
}

/// One look at what [`inflate`] gives, also of base64 text.
///
/// # Errors
/// [`GunzipError`].
pub fn with_unpacked<T>(
    data: &[u8],
    cap: usize,
    look: impl FnOnce(&[u8]) -> T,
) -> Result<T, GunzipError> {
    let unwrapped = unwrap_base64(data);
    let data = unwrapped.as_deref().unwrap_or(data);
    match gunzip::is_gzip(data) {
        true => gunzip::with_gunzip(data, cap, look),
        false => inflate(data, cap).map(|inflated| look(&inflated)),
    }
}

/// The bytes behind base64 text of something known.
fn unwrap_base64(data: &[u8]) -> Option<Vec<u8>> {
    if is_known(data) {
        return None;
    }
    decode_base64(data).filter(|bytes| is_known(bytes))
}

fn is_known(data: &[u8]) -> bool {
    gunzip::is_gzip(data)
        || gunzip::is_zlib(data)
        || deaggregate::has_magic(data)
        || data.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{
        STANDARD as PADDED, STANDARD_NO_PAD, URL_SAFE as PADDED_URL, URL_SAFE_NO_PAD,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::codec::gunzip::{gzip, zlib};

    const JSON: &[u8] = br#"{"a":"??>>~~"}"#;

    fn unpack(data: &[u8], cap: usize) -> Result<Vec<u8>, GunzipError> {
        with_unpacked(data, cap, <[u8]>::to_vec)
    }

    #[test]
    fn finds_the_document_under_every_wrapping() {
        let check = |data: &[u8]| assert_eq!(&*unpack(data, 100).unwrap(), JSON, "{data:x?}");
        for form in [JSON.to_vec(), gzip(JSON), zlib(JSON)] {
            check(&form);
            for text in [
                PADDED.encode(&form),
                STANDARD_NO_PAD.encode(&form),
                PADDED_URL.encode(&form),
                URL_SAFE_NO_PAD.encode(&form),
            ] {
                check(text.as_bytes());
                check(format!("\r\n  {text}\n").as_bytes());
                let (head, tail) = text.split_at(10);
                check(format!("{head}\n{tail}\n").as_bytes());
            }
        }
    }

    #[test]
    fn leaves_alone_what_it_does_not_know() {
        for data in [&b""[..], b"hello", b"aGVsbG8=", b"xml", b"[1]", b"\xff\xfe"] {
            assert_eq!(&*unpack(data, 100).unwrap(), data);
            assert_eq!(record_bytes(&Bytes::copy_from_slice(data)), data);
        }
    }

    #[test]
    fn unwraps_a_captured_aggregate() {
        let packed = deaggregate::aggregate(&[]);
        assert_eq!(record_bytes(&packed), packed);
        assert_eq!(record_bytes(&PADDED.encode(&packed).into()), packed);
    }

    #[test]
    fn damage_under_base64_is_told_as_such() {
        let mut data = gzip(JSON);
        data.truncate(12);
        let text = PADDED.encode(&data);
        assert_eq!(unpack(text.as_bytes(), 100), Err(GunzipError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(data: Vec<u8>) {
            if let Ok(out) = unpack(&data, 1000) {
                prop_assert!(out.len() <= 1000.max(data.len()));
            }
        }
    }
}
