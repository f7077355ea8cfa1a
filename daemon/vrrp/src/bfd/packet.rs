//! The Control packet (RFC 5880 section 4.1) as bytes and back, with the checks that need no session.

use std::net::IpAddr;

/// UDP port that sessions are spoken to (RFC 5881 section 4).
pub const PORT: u16 = 3784;
/// Bytes of a packet without authentication.
pub const PACKET_BYTES: usize = 24;
/// Least bytes of a packet that has an authentication section.
const AUTHENTICATED_BYTES: usize = 26;
/// Largest datagram that is looked at; what a packet may say of its own length fits.
pub const MAX_DATAGRAM_BYTES: usize = 256;
const VERSION: u8 = 1;

/// State of a session (RFC 5880 section 4.1, Sta).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionState {
    /// An operator holds it down, or it ends.
    AdminDown,
    /// Nobody is known to be there.
    Down,
    /// The neighbour is heard and does not hear us yet, or we do not know that it does.
    Init,
    /// Both hear each other.
    Up,
}

impl SessionState {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a system left Up last (RFC 5880 section 4.1, Diag).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diagnostic {
    /// 0
    #[default]
    None,
    /// 1
    DetectionTimeExpired,
    /// 2
    EchoFailed,
    /// 3
    NeighborSignaledDown,
    /// 4
    ForwardingPlaneReset,
    /// 5
    PathDown,
    /// 6
    ConcatenatedPathDown,
    /// 7
    AdministrativelyDown,
    /// 8
    ReverseConcatenatedPathDown,
    /// 9 to 31, which the RFC keeps.
    Reserved(u8),
}

impl Diagnostic {
    /// Of the lower five bits.
    fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(number) => number & 0x1f,
        }
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::None => "no diagnostic",
            Self::DetectionTimeExpired => protocol::vrrp::BFD_EXPIRED,
            Self::EchoFailed => "echo function failed",
            Self::NeighborSignaledDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Reserved(number) => return write!(formatter, "diagnostic {number}"),
        };
        formatter.write_str(text)
    }
}

/// A Control packet. Intervals are in microseconds, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPacket {
    /// Why its sender left Up last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: SessionState,
    /// P: answer at once.
    pub poll: bool,
    /// F: the answer to a poll.
    pub is_final: bool,
    /// C: the sender's sessions outlive its control plane.
    pub control_plane_independent: bool,
    /// D: the sender wishes that we fall silent while both are Up.
    pub demand: bool,
    /// Packets that may be missed.
    pub detect_multiplier: u8,
    /// The sender's number for the session; never 0.
    pub my_discriminator: u32,
    /// Our number for it, as the sender heard it; 0 before.
    pub your_discriminator: u32,
    /// How often the sender would like to send.
    pub desired_min_tx_us: u32,
    /// How often it can receive; 0 means that it wants nothing.
    pub required_min_rx_us: u32,
    /// How often it can receive echoes; 0 means none.
    pub required_min_echo_rx_us: u32,
}

impl ControlPacket {
    /// Reads the bytes of a datagram, with the checks of RFC 5880 section 6.8.6 that come before the session is looked for,
    /// in its order. Authentication is refused last, as there: no session uses it.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let (Some(&[vers_diag, flags, detect_multiplier, length]), found) =
            (bytes.first_chunk(), bytes.len())
        else {
            return Err(Refused::Truncated { found: bytes.len() });
        };
        if vers_diag >> 5 != VERSION {
            return Err(Refused::Version(vers_diag >> 5));
        }
        let authenticated = flags & 0x04 != 0;
        let least = match authenticated {
            true => AUTHENTICATED_BYTES,
            false => PACKET_BYTES,
        };
        if usize::from(length) < least {
            return Err(Refused::Length {
                found: length,
                least,
            });
        }
        if usize::from(length) > found {
            return Err(Refused::Truncated { found });
        }
        if detect_multiplier == 0 {
            return Err(Refused::Multiplier);
        }
        if flags & 0x01 != 0 {
            return Err(Refused::Multipoint);
        }
        let number = |at: usize| {
            let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |four| u32::from_be_bytes(*four))
        };
        let packet = Self {
            diagnostic: Diagnostic::from_bits(vers_diag),
            state: SessionState::from_bits(flags >> 6),
            poll: flags & 0x20 != 0,
            is_final: flags & 0x10 != 0,
            control_plane_independent: flags & 0x08 != 0,
            demand: flags & 0x02 != 0,
            detect_multiplier,
            my_discriminator: number(4),
            your_discriminator: number(8),
            desired_min_tx_us: number(12),
            required_min_rx_us: number(16),
            required_min_echo_rx_us: number(20),
        };
        if packet.my_discriminator == 0 {
            return Err(Refused::MyDiscriminator);
        }
        if packet.your_discriminator == 0
            && !matches!(packet.state, SessionState::Down | SessionState::AdminDown)
        {
            return Err(Refused::NoYourDiscriminator(packet.state));
        }
        if authenticated {
            return Err(Refused::Authentication);
        }
        // RFC 5880 section 6.5: a packet must not have both.
        if packet.poll && packet.is_final {
            return Err(Refused::PollAndFinal);
        }
        Ok(packet)
    }

    /// Its bytes.
    pub fn write(&self) -> [u8; PACKET_BYTES] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; PACKET_BYTES];
        bytes[0] = VERSION << 5 | self.diagnostic.number();
        bytes[1] = self.state.bits() << 6
            | bit(self.poll, 0x20)
            | bit(self.is_final, 0x10)
            | bit(self.control_plane_independent, 0x08)
            | bit(self.demand, 0x02);
        bytes[2] = self.detect_multiplier;
        bytes[3] = PACKET_BYTES as u8;
        bytes[4..8].copy_from_slice(&self.my_discriminator.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.your_discriminator.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.desired_min_tx_us.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.required_min_rx_us.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.required_min_echo_rx_us.to_be_bytes());
        bytes
    }
}

/// Why a packet counts for nothing. It changes no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Fewer bytes than it says, or than its head has.
    #[error("cut short: {found} bytes")]
    Truncated {
        /// Bytes there.
        found: usize,
    },
    /// Another version.
    #[error("BFD version {0}, wanted 1")]
    Version(u8),
    /// It says that it is shorter than a packet is.
    #[error("it says that it has {found} bytes, at least {least} wanted")]
    Length {
        /// The field.
        found: u8,
        /// Least possible.
        least: usize,
    },
    /// Detect Mult is 0.
    #[error("detect multiplier 0")]
    Multiplier,
    /// M is set.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// My Discriminator is 0.
    #[error("its own discriminator is 0")]
    MyDiscriminator,
    /// Your Discriminator is 0 although its sender must know us.
    #[error("no discriminator of ours in state {0}")]
    NoYourDiscriminator(SessionState),
    /// Your Discriminator is none of ours.
    #[error("no session has discriminator {0:#010x}")]
    YourDiscriminator(u32),
    /// From somebody who is no neighbour.
    #[error("{0} is the neighbor of no bfd_instance")]
    Stranger(IpAddr),
    /// A session's discriminator from another address than its neighbour's.
    #[error("from {found}, its neighbor is {wanted}")]
    Source {
        /// Its sender.
        found: IpAddr,
        /// The neighbour.
        wanted: IpAddr,
    },
    /// From the neighbour's link-local address on another interface than its own.
    #[error("it came through interface number {found}, its neighbor is on number {wanted}")]
    Interface {
        /// Where it came through.
        found: u32,
        /// Where the neighbour is; 0 while that is not known.
        wanted: u32,
    },
    /// From farther than `max_hops` allows (RFC 5881 section 5).
    #[error("TTL {found}, at least {least} wanted")]
    Ttl {
        /// In the packet.
        found: u8,
        /// `ttl` less `max_hops`.
        least: u8,
    },
    /// It is authenticated, and no session is.
    #[error("it is authenticated, which no bfd_instance is")]
    Authentication,
    /// Poll and Final at once.
    #[error("both the poll bit and the final bit are set")]
    PollAndFinal,
    /// The session is held down here.
    #[error("the session is AdminDown here")]
    AdminDown,
}

impl Refused {
    /// The counter's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::Version(_) => "version",
            Self::Length { .. } => "length",
            Self::Multiplier => "multiplier",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "my-discriminator",
            Self::NoYourDiscriminator(_) => "no-your-discriminator",
            Self::YourDiscriminator(_) => "your-discriminator",
            Self::Stranger(_) => "stranger",
            Self::Source { .. } => "source",
            Self::Interface { .. } => "interface",
            Self::Ttl { .. } => "ttl",
            Self::Authentication => "authentication",
            Self::PollAndFinal => "poll-and-final",
            Self::AdminDown => "admin-down",
        }
    }
}
