//! A session's state machine (RFC 5880 section 6.8), asynchronous mode, without sockets or clocks: packets and time come
//! in, packets to send and changes come out. Randomness comes in as a seed.

use std::net::IpAddr;
use std::time::Duration;

use super::packet::{ControlPacket, Diagnostic, Refused, SessionState};
use crate::core::Moment;

/// Least pause between two packets while a session is not Up (RFC 5880 section 6.8.3).
pub const MIN_IDLE_TX: Duration = Duration::from_secs(1);
/// Whoever looks at a silence later than this share of the neighbour's interval did not run, and is to hear it first.
const LATE_SHARE: u32 = 4;
/// What the neighbour is taken to receive before it has said so (RFC 5880 section 6.8.1, bfd.RemoteMinRxInterval).
const UNTOLD_MIN_RX: Duration = Duration::from_micros(1);

/// What a session is asked to do: the numbers of a `bfd_instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The other end.
    pub neighbor: IpAddr,
    /// bfd.RequiredMinRxInterval.
    pub min_rx: Duration,
    /// bfd.DesiredMinTxInterval while Up.
    pub min_tx: Duration,
    /// The same while not Up; never below [`MIN_IDLE_TX`].
    pub idle_tx: Duration,
    /// bfd.DetectMult: how many packets of ours the neighbour may miss.
    pub multiplier: u8,
    /// Says nothing before the neighbour does (RFC 5880 section 6.1).
    pub passive: bool,
}

/// What a session decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This packet leaves now.
    Send(ControlPacket),
    /// What is to be told of the session changed: its state, or the reason for it.
    Tell,
}

/// What the neighbour last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its number for the session; 0 while nothing is known of it.
    pub discriminator: u32,
    /// Its state.
    pub state: SessionState,
    /// Why it left Up last.
    pub diagnostic: Diagnostic,
    /// How often it can receive.
    pub min_rx: Duration,
    /// How often it sends at most.
    pub desired_tx: Duration,
    /// How many of its packets may be missed.
    pub multiplier: u8,
    /// It wishes that we fall silent.
    pub demand: bool,
}

const UNKNOWN: Remote = Remote {
    discriminator: 0,
    state: SessionState::Down,
    diagnostic: Diagnostic::None,
    min_rx: UNTOLD_MIN_RX,
    desired_tx: Duration::ZERO,
    multiplier: 1,
    demand: false,
};

/// A poll sequence of ours (RFC 5880 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    Running,
    /// Something changed while it ran: its end begins another one.
    RunningAndAgain,
}

/// A session with one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    settings: Settings,
    state: SessionState,
    diagnostic: Diagnostic,
    discriminator: u32,
    remote: Remote,
    /// The diagnostic that the neighbour sent last, which outlives what else is known of it.
    last_diagnostic: Option<Diagnostic>,
    poll: Poll,
    /// What is counted with until the neighbour has agreed to what is said.
    tx_in_force: Duration,
    rx_in_force: Duration,
    heard_at: Option<Moment>,
    sent_at: Option<Moment>,
    /// What was sent last, without P and F.
    sent: Option<ControlPacket>,
    send_at: Option<Moment>,
    detect_at: Option<Moment>,
    /// The silence was looked at too late, and the neighbour was given another interval.
    spared: bool,
    reason: String,
    well: bool,
    random: u64,
}

impl Session {
    /// A session in Down that begins to speak at once, or when spoken to if it is passive. `discriminator` is not 0 and no
    /// other session's; `seed` makes its jitter.
    pub fn new(now: Moment, settings: Settings, discriminator: u32, seed: u64) -> Self {
        let reason = format!("nothing heard from {} yet", settings.neighbor);
        let mut session = Self {
            tx_in_force: Duration::ZERO,
            rx_in_force: settings.min_rx,
            settings,
            state: SessionState::Down,
            diagnostic: Diagnostic::None,
            discriminator: discriminator.max(1),
            remote: UNKNOWN,
            last_diagnostic: None,
            poll: Poll::Idle,
            heard_at: None,
            sent_at: None,
            sent: None,
            send_at: None,
            detect_at: None,
            spared: false,
            reason,
            well: false,
            random: seed | 1,
        };
        session.tx_in_force = session.desired_tx();
        session.send_at = session.may_send().then_some(now);
        session
    }

    /// Where it is.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// Why it is there: which packet or which timer.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What it means for those who track it: it is Up, or was and then its neighbour took it down on purpose. AdminDown says
    /// nothing of the path (RFC 5882 section 3.2); keepalived tells nobody of it either.
    pub fn is_well(&self) -> bool {
        self.well
    }

    /// Why it left Up last.
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// Our number for it.
    pub fn discriminator(&self) -> u32 {
        self.discriminator
    }

    /// What the neighbour last said.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The diagnostic that the neighbour sent last.
    pub fn last_diagnostic(&self) -> Option<Diagnostic> {
        self.last_diagnostic
    }

    /// When the neighbour was last heard.
    pub fn heard_at(&self) -> Option<Moment> {
        self.heard_at
    }

    /// What it is asked to do.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Longest pause between two packets of ours now, before jitter (RFC 5880 section 6.8.2).
    pub fn transmit_interval(&self) -> Duration {
        self.tx_in_force.max(self.remote.min_rx)
    }

    /// Longest silence of the neighbour that is no failure (RFC 5880 section 6.8.4).
    pub fn detection_time(&self) -> Duration {
        self.receive_interval() * u32::from(self.remote.multiplier)
    }

    /// Longest pause between two packets of the neighbour now (RFC 5880 section 6.8.4).
    pub fn receive_interval(&self) -> Duration {
        self.rx_in_force.max(self.remote.desired_tx)
    }

    /// When [`Session::elapsed`] wants to be called next.
    pub fn deadline(&self) -> Option<Moment> {
        [self.send_at, self.detect_at].into_iter().flatten().min()
    }

    /// Whether the silence of the neighbour ends the session at this moment, unless it is heard first.
    pub fn must_hear_first(&self, now: Moment) -> bool {
        self.detect_at.is_some_and(|at| at <= now)
    }

    /// Takes a valid packet of the neighbour (RFC 5880 section 6.8.6, from the selection of the session on).
    pub fn heard(
        &mut self,
        now: Moment,
        packet: &ControlPacket,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refused> {
        self.spared = false;
        let before = self.remote.state;
        self.heard_at = Some(now);
        self.last_diagnostic = Some(packet.diagnostic);
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_rx: micros(packet.required_min_rx_us),
            desired_tx: micros(packet.desired_min_tx_us),
            multiplier: packet.detect_multiplier,
            demand: packet.demand,
        };
        if packet.is_final {
            self.polled();
        }
        if self.state == SessionState::AdminDown {
            return Err(Refused::AdminDown);
        }
        let neighbor = self.settings.neighbor;
        match (self.state, packet.state) {
            (SessionState::Down, SessionState::AdminDown) if before != SessionState::AdminDown => {
                self.reason = format!("{neighbor} said AdminDown ({})", packet.diagnostic);
                actions.push(Action::Tell);
            }
            (SessionState::Down | SessionState::AdminDown, SessionState::AdminDown) => {}
            (_, SessionState::AdminDown) => {
                let reason = format!("{neighbor} said AdminDown ({})", packet.diagnostic);
                self.diagnostic = Diagnostic::NeighborSignaledDown;
                self.enter(SessionState::Down, reason, actions);
            }
            (SessionState::Down, SessionState::Down) => {
                let reason = format!("{neighbor} said Down: it is to hear us yet");
                self.enter(SessionState::Init, reason, actions);
            }
            (SessionState::Down, SessionState::Init)
            | (SessionState::Init, SessionState::Init | SessionState::Up) => {
                let reason = format!("{neighbor} said {}: both hear each other", packet.state);
                self.diagnostic = Diagnostic::None;
                self.well = true;
                self.enter(SessionState::Up, reason, actions);
            }
            (SessionState::Up, SessionState::Down) => {
                let reason = format!("{neighbor} said Down ({})", packet.diagnostic);
                self.leave(Diagnostic::NeighborSignaledDown, reason, actions);
            }
            // It has to learn first that we are Down.
            (SessionState::Down, SessionState::Up)
            | (SessionState::Init, SessionState::Down)
            | (SessionState::Up, SessionState::Init | SessionState::Up)
            | (SessionState::AdminDown, _) => {}
        }
        self.detect_at = Some(now + self.detection_time());
        if packet.poll {
            // RFC 5880 section 6.5: at once, whatever the timers say.
            let answer = ControlPacket {
                poll: false,
                is_final: true,
                ..self.packet()
            };
            self.say(now, answer, actions);
        }
        self.speak_up(now, actions);
        Ok(())
    }

    /// Runs every timer that is due.
    pub fn elapsed(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if let Some(at) = self.detect_at.take_if(|at| *at <= now) {
            match self.spare(at, now) {
                true => self.detect_at = Some(now + self.receive_interval()),
                false => self.silence(now, actions),
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            self.send_at = None;
            if self.may_send() {
                self.say(now, self.packet(), actions);
            }
        }
        self.speak_up(now, actions);
    }

    /// Whether a silence that was to be noticed at `at` is our own: we did not run, and neither did what would have brought
    /// the neighbour's packets. Once, until it is heard.
    fn spare(&mut self, at: Moment, now: Moment) -> bool {
        let late = now.saturating_sub(at);
        let spared = std::mem::replace(&mut self.spared, true);
        !spared && late > self.receive_interval() / LATE_SHARE
    }

    /// Takes other numbers for the same neighbour. A session that is Up stays Up: the neighbour is told by a poll sequence.
    pub fn follow(&mut self, now: Moment, settings: Settings, actions: &mut Vec<Action>) {
        let changed = |one: &Settings, other: &Settings| {
            (one.min_rx, one.min_tx, one.idle_tx) != (other.min_rx, other.min_tx, other.idle_tx)
        };
        let retimed = changed(&self.settings, &settings);
        self.settings = settings;
        if retimed {
            self.retime();
        }
        if self.heard_at.is_some() && self.remote.discriminator != 0 {
            self.detect_at = self.heard_at.map(|at| at + self.detection_time());
        }
        self.speak_up(now, actions);
    }

    /// Holds the session down for good (RFC 5880 section 6.8.16). The first packet that says so leaves now.
    pub fn admin_down(&mut self, now: Moment, reason: &str, actions: &mut Vec<Action>) {
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.enter(SessionState::AdminDown, reason.to_owned(), actions);
        self.poll = Poll::Idle;
        self.detect_at = None;
        self.speak_up(now, actions);
        // Further copies are the caller's: see `Session::packet`.
        self.send_at = None;
    }

    /// What there is to say now.
    pub fn packet(&self) -> ControlPacket {
        let micros = |interval: Duration| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.poll != Poll::Idle,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.settings.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx_us: micros(self.desired_tx()),
            required_min_rx_us: micros(self.settings.min_rx),
            required_min_echo_rx_us: 0,
        }
    }

    fn desired_tx(&self) -> Duration {
        match self.state {
            SessionState::Up => self.settings.min_tx,
            SessionState::AdminDown | SessionState::Down | SessionState::Init => {
                self.settings.idle_tx.max(MIN_IDLE_TX)
            }
        }
    }

    /// RFC 5880 section 6.8.7: when nothing is sent by the timer.
    fn may_send(&self) -> bool {
        let both_up = self.state == SessionState::Up && self.remote.state == SessionState::Up;
        let unwelcome = self.remote.min_rx.is_zero()
            || (self.remote.demand && both_up && self.poll == Poll::Idle);
        let waits = self.settings.passive && self.remote.discriminator == 0;
        !unwelcome && !waits
    }

    fn silence(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let silent = now.saturating_sub(self.heard_at.unwrap_or(now));
        let last = self.last_diagnostic.unwrap_or_default();
        let reason = format!(
            "nothing heard from {} for {} (detection time {}); it last said {} ({last})",
            self.settings.neighbor,
            milliseconds(silent),
            milliseconds(self.detection_time()),
            self.remote.state,
        );
        // RFC 5880 section 6.8.1: whoever speaks next may be another incarnation.
        self.remote = UNKNOWN;
        self.poll = Poll::Idle;
        match self.state {
            SessionState::Init | SessionState::Up => {
                self.leave(Diagnostic::DetectionTimeExpired, reason, actions);
            }
            SessionState::Down => {
                self.reason = reason;
                actions.push(Action::Tell);
            }
            SessionState::AdminDown => {}
        }
    }

    fn leave(&mut self, diagnostic: Diagnostic, reason: String, actions: &mut Vec<Action>) {
        self.diagnostic = diagnostic;
        self.well = false;
        self.enter(SessionState::Down, reason, actions);
    }

    fn enter(&mut self, state: SessionState, reason: String, actions: &mut Vec<Action>) {
        self.state = state;
        self.reason = reason;
        actions.push(Action::Tell);
        self.retime();
    }

    /// Our intervals changed: the neighbour has to agree (RFC 5880 section 6.8.3).
    fn retime(&mut self) {
        let (desired, required) = (self.desired_tx(), self.settings.min_rx);
        if (desired, required) == (self.tx_in_force, self.rx_in_force) {
            return;
        }
        let is_up = self.state == SessionState::Up;
        // While Up a longer pause or a shorter detection time waits for the neighbour's word.
        if !is_up || desired < self.tx_in_force {
            self.tx_in_force = desired;
        }
        if !is_up || required > self.rx_in_force {
            self.rx_in_force = required;
        }
        if self.remote.discriminator != 0 {
            self.poll = match self.poll {
                Poll::Idle => Poll::Running,
                Poll::Running | Poll::RunningAndAgain => Poll::RunningAndAgain,
            };
        } else {
            (self.tx_in_force, self.rx_in_force) = (desired, required);
        }
    }

    /// The neighbour answered a poll.
    fn polled(&mut self) {
        self.poll = match self.poll {
            Poll::RunningAndAgain => Poll::Running,
            Poll::Idle | Poll::Running => Poll::Idle,
        };
        if self.poll == Poll::Idle {
            (self.tx_in_force, self.rx_in_force) = (self.desired_tx(), self.settings.min_rx);
        }
    }

    /// Sends at once what the neighbour does not know yet (RFC 5880 section 6.8.7), and sets the timer to what holds now.
    fn speak_up(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let plain = ControlPacket {
            poll: false,
            ..self.packet()
        };
        let news = self.sent.is_some_and(|sent| sent != plain);
        if !self.may_send() {
            self.send_at = None;
            return;
        }
        if news {
            self.say(now, self.packet(), actions);
        }
        let interval = self.transmit_interval();
        let latest = self.sent_at.map_or(now, |at| at + interval);
        if self.send_at.is_none_or(|at| at > latest) {
            let next = self.sent_at.map_or(now, |at| at + self.jittered(interval));
            self.send_at = Some(next);
        }
    }

    fn say(&mut self, now: Moment, packet: ControlPacket, actions: &mut Vec<Action>) {
        self.sent = Some(ControlPacket {
            poll: false,
            is_final: false,
            ..packet
        });
        actions.push(Action::Send(packet));
        if !packet.is_final {
            self.sent_at = Some(now);
            self.send_at = Some(now + self.jittered(self.transmit_interval()));
        }
    }

    /// RFC 5880 section 6.8.7: 75 to 100 % of the interval, with multiplier 1 at most 90 %.
    fn jittered(&mut self, interval: Duration) -> Duration {
        // xorshift: nothing depends on its being hard to guess.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let span = if self.settings.multiplier == 1 {
            150
        } else {
            250
        };
        let permille = 750 + u32::try_from(self.random % (span + 1)).unwrap_or(0);
        interval * permille / 1_000
    }
}

fn micros(microseconds: u32) -> Duration {
    Duration::from_micros(u64::from(microseconds))
}

/// `52.3 ms`.
fn milliseconds(time: Duration) -> String {
    let tenths = time.as_micros().div_ceil(100);
    match tenths % 10 {
        0 => format!("{} ms", tenths / 10),
        rest => format!("{}.{rest} ms", tenths / 10),
    }
}
