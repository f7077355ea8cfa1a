//! Frames: how plain data becomes bytes, and back.
//!
//! A frame is a little-endian `u32` length and that many bytes of bincode. This is the only file that
//! knows bincode (unmaintained, RUSTSEC-2025-0141; recorded in deny.toml): decoding is limited in
//! size, and a frame that leaves bytes over is refused.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// First bytes of a typed client on a control socket; no text command starts with NUL.
pub const CLIENT_MAGIC: [u8; 8] = *b"\0TANDEM\x01";
/// Longest frame between processes, and towards a client, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// Longest frame accepted from a client, in bytes.
pub const MAX_CLIENT_FRAME_BYTES: usize = 1 << 20;
/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// Why bytes are not a frame of the wanted type.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The announced length is above the limit.
    #[error("a frame of {length} bytes, at most {limit} are accepted")]
    TooLong {
        /// Announced.
        length: usize,
        /// Allowed.
        limit: usize,
    },
    /// The value cannot be encoded.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The bytes are not the wanted type.
    #[error("cannot decode: {0}")]
    Decode(String),
}

fn codec() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_FRAME_BYTES>,
> {
    bincode::config::standard().with_limit::<MAX_FRAME_BYTES>()
}

/// Encodes a value without a length.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    bincode::serde::encode_to_vec(value, codec())
        .map_err(|error| WireError::Encode(error.to_string()))
}

/// Encodes a value whose last field is a list, which is empty in `value`, with these entries. Of the entries one at a time is
/// in memory: there may be many.
pub fn encode_with_list<T: Serialize, E: Serialize>(
    value: &T,
    entries: impl ExactSizeIterator<Item = E>,
) -> Result<Vec<u8>, WireError> {
    let mut bytes = encode(value)?;
    // The count, which is none.
    if bytes.pop() != Some(0) {
        return Err(WireError::Encode("the list is not empty".to_owned()));
    }
    let failed = |error: bincode::error::EncodeError| WireError::Encode(error.to_string());
    bincode::serde::encode_into_std_write(entries.len(), &mut bytes, codec()).map_err(failed)?;
    for entry in entries {
        bincode::serde::encode_into_std_write(entry, &mut bytes, codec()).map_err(failed)?;
    }
    Ok(bytes)
}

/// Encodes a value as a whole frame, length first.
pub fn frame<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    bytes.extend_from_slice(&encode(value)?);
    let length = bytes.len() - LENGTH_BYTES;
    let announced = u32::try_from(length)
        .ok()
        .filter(|_| length <= MAX_FRAME_BYTES)
        .ok_or(WireError::TooLong {
            length,
            limit: MAX_FRAME_BYTES,
        })?;
    bytes[..LENGTH_BYTES].copy_from_slice(&announced.to_le_bytes());
    Ok(bytes)
}

/// Decodes a value that fills `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, codec())
        .map_err(|error| WireError::Decode(error.to_string()))?;
    if used != bytes.len() {
        return Err(WireError::Decode(format!(
            "{} bytes left over",
            bytes.len() - used
        )));
    }
    Ok(value)
}

/// The length that a frame's first four bytes announce, checked against `limit`.
pub fn announced_length(bytes: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, WireError> {
    let length = u32::from_le_bytes(bytes) as usize;
    if length > limit {
        return Err(WireError::TooLong { length, limit });
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let bytes = frame(&("web1".to_owned(), 7_u64)).expect("small");
        let length = announced_length(bytes[..4].try_into().expect("four"), 64).expect("short");
        assert_eq!(length, bytes.len() - 4);
        let back: (String, u64) = decode(&bytes[4..]).expect("same type");
        assert_eq!(back, ("web1".to_owned(), 7));
    }

    #[test]
    fn a_list_that_is_made_while_it_is_encoded_is_the_same_list() {
        for length in [0, 1, 250, 251, 70_000] {
            let list: Vec<(String, u64)> = (0..length).map(|at| (at.to_string(), at)).collect();
            let empty: (u8, Vec<(String, u64)>) = (7, Vec::new());
            let made = encode_with_list(&empty, list.iter()).expect("small");
            assert_eq!(made, encode(&(7_u8, list)).expect("small"));
        }
        assert!(encode_with_list(&(7_u8, vec![1_u8]), [1_u8].iter()).is_err());
    }

    #[test]
    fn bytes_left_over_are_refused() {
        let mut bytes = encode(&7_u64).expect("small");
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        assert!(announced_length([0xff; 4], MAX_CLIENT_FRAME_BYTES).is_err());
        let huge_string = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(decode::<String>(&huge_string).is_err());
    }
}
