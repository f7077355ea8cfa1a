//! Why an advertisement counts for nothing.

use std::net::IpAddr;
use std::time::Duration;

/// Why a packet counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not IP with protocol 112 (or 51, the authentication header, around it), or cut short.
    #[error("not a whole datagram of protocol 112")]
    Datagram,
    /// Our own address as source.
    #[error("it carries our own source address")]
    OwnAddress,
    /// A sender that is not in `unicast_peer`.
    #[error("its sender is not a unicast_peer")]
    Stranger,
    /// Sent to another address than this instance listens on.
    #[error("it was sent to {0}")]
    Destination(IpAddr),
    /// Came from beyond a router.
    #[error("TTL {0}, wanted 255")]
    Ttl(u8),
    /// Came from nearer or farther than `min_ttl` and `max_ttl` allow.
    #[error("TTL {found}, wanted {min} to {max}")]
    TtlRange {
        /// In the packet.
        found: u8,
        /// `min_ttl`.
        min: u8,
        /// `max_ttl`.
        max: u8,
    },
    /// Over IPv6, not from a link-local address (RFC 5798 5.1.2.1).
    #[error("its source {0} is not link-local")]
    NotLinkLocal(IpAddr),
    /// Another version than ours.
    #[error("VRRP version {found}, wanted {wanted}")]
    Version {
        /// In the packet.
        found: u8,
        /// Ours.
        wanted: u8,
    },
    /// Not an advertisement.
    #[error("type {0}, wanted 1 (advertisement)")]
    Type(u8),
    /// Longer or shorter than its address count says.
    #[error("{found} bytes, wanted {wanted} for its address count")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes that the count calls for.
        wanted: usize,
    },
    /// Damaged.
    #[error("wrong checksum")]
    Checksum,
    /// Another authentication type than ours.
    #[error("authentication type {found}, wanted {wanted}")]
    AuthenticationType {
        /// In the packet.
        found: u8,
        /// Ours.
        wanted: u8,
    },
    /// Another password.
    #[error("wrong password")]
    Password,
    /// An authentication header where none is wanted, or none where one is wanted.
    #[error("{}", if *.found { "an authentication header (AH), wanted none" } else { "no authentication header (AH)" })]
    Header {
        /// Whether the packet has one.
        found: bool,
    },
    /// An authentication header that is not one of an advertisement.
    #[error("malformed authentication header (AH)")]
    MalformedHeader,
    /// The authentication header's digest does not fit: another password, or a changed packet.
    #[error(
        "wrong digest in its authentication header (AH): another password, or changed on its way"
    )]
    Digest,
    /// A sequence number that was used before.
    #[error("its sequence number {found} is not above {last}: sent before")]
    Replay {
        /// In the packet.
        found: u32,
        /// The highest that was heard from its sender.
        last: u32,
    },
    /// No trailer where `auth_hmac` wants one.
    #[error("no trailer of auth_hmac: its sender has no key")]
    NoTrailer,
    /// A trailer where none is wanted.
    #[error("a trailer of auth_hmac, wanted none")]
    UnwantedTrailer,
    /// A trailer of another layout.
    #[error("malformed trailer of auth_hmac")]
    MalformedTrailer,
    /// A key that we do not have.
    #[error("key {0} of its auth_hmac is none of ours")]
    UnknownKey(u8),
    /// The trailer's digest does not fit.
    #[error("wrong digest for key {0} of auth_hmac: another key, or changed on its way")]
    InvalidHmac(u8),
    /// A time that is too far from ours.
    #[error(
        "its time is {:.3} s {} ours, and time_window is {} s: sent before, or a clock is wrong",
        ahead_ms.unsigned_abs() as f64 / 1e3,
        if *ahead_ms < 0 { "behind" } else { "ahead of" },
        window.as_secs_f64()
    )]
    Stale {
        /// How far the sender's clock is ahead of ours, in milliseconds.
        ahead_ms: i64,
        /// `time_window`.
        window: Duration,
    },
    /// A sequence number of `auth_hmac` that was used before.
    #[error("the sequence number of its auth_hmac is not above the sender's last one: sent before")]
    Repeated,
    /// Another advertisement interval.
    #[error("advertisement interval {found} s, ours is {wanted} s")]
    Interval {
        /// In the packet.
        found: u8,
        /// Ours.
        wanted: u8,
    },
    /// An advertisement interval of nothing.
    #[error("advertisement interval 0")]
    NoInterval,
    /// Another number of addresses.
    #[error("{found} addresses, we have {wanted}")]
    AddressCount {
        /// In the packet.
        found: usize,
        /// Ours.
        wanted: usize,
    },
    /// An address that we do not have.
    #[error("address {0} is not one of ours")]
    AddressList(IpAddr),
}

impl Refused {
    /// The counter's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::OwnAddress => "own-address",
            Self::Stranger => "stranger",
            Self::Destination(_) => "destination",
            Self::Ttl(_) | Self::TtlRange { .. } => "ttl",
            Self::NotLinkLocal(_) => "source",
            Self::Version { .. } => "version",
            Self::Type(_) => "type",
            Self::Length { .. } | Self::UnwantedTrailer => "length",
            Self::Checksum => "checksum",
            Self::AuthenticationType { .. }
            | Self::Password
            | Self::Header { .. }
            | Self::MalformedHeader
            | Self::Digest => "authentication",
            Self::Replay { .. } | Self::Repeated => "replay",
            Self::NoTrailer => "missing-trailer",
            Self::MalformedTrailer | Self::InvalidHmac(_) => "invalid-hmac",
            Self::UnknownKey(_) => "unknown-key",
            Self::Stale { .. } => "stale",
            Self::Interval { .. } | Self::NoInterval => "interval",
            Self::AddressCount { .. } => "address-count",
            Self::AddressList(_) => "address-list",
        }
    }
}
