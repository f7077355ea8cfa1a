//! What a proxy logs, how and where to: its format, its targets, what it leaves out.

use std::cell::RefCell;

use config::haproxy::{HaproxyConfig, LogLevel, LogLineFormat, LogTarget, ProxyConfig, TrafficLog};
use config::{Diagnostics, Word};

use super::format::{Gauges, Line, LogFormat, Purpose};
use super::sockets::{LogSockets, addresses};
use super::stamp;
use crate::sample::{Environment, Names, Scope, View};
use crate::txn::{Cause, Session, Transaction};

/// `option httplog` (manual 8.2.3).
const HTTP_FORMAT: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// `option tcplog` (manual 8.2.2).
const TCP_FORMAT: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
/// `option httpslog` (manual 8.2.4).
const HTTPS_FORMAT: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";
/// `option httplog clf`.
const CLF_FORMAT: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// Longest line that is ever built, in bytes; a target's `len` may be less.
pub const MAX_LINE_BYTES: usize = 64 << 10;

struct PlanTarget {
    socket: usize,
    format: LogLineFormat,
    max_length: usize,
    facility: u8,
    max_level: LogLevel,
    min_level: LogLevel,
    is_stream: bool,
}

/// A proxy's logging, compiled.
pub struct LogPlan {
    targets: Vec<PlanTarget>,
    /// `None` is the short line at the start of a connection.
    format: Option<LogFormat>,
    http: bool,
    dontlognull: bool,
    dontlog_normal: bool,
    separate_errors: bool,
    asap: bool,
    tag: String,
    host: Option<String>,
    node: String,
    pid: u32,
}

impl std::fmt::Debug for LogPlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LogPlan({} targets)", self.targets.len())
    }
}

/// The log plan of the proxy at `index`.
pub fn plan(
    config: &HaproxyConfig,
    index: usize,
    names: &Names,
    pid: u32,
    diagnostics: &mut Diagnostics,
) -> LogPlan {
    let positions = addresses(config);
    let Some(proxy) = config.proxies.get(index) else {
        return LogPlan::of(config, &config.global.logs, &positions, pid);
    };
    let mut plan = LogPlan::of(config, &proxy.logs, &positions, pid);
    plan.http = proxy.mode == config::haproxy::Mode::Http;
    plan.dontlognull = proxy.dontlognull;
    plan.dontlog_normal = proxy.dontlog_normal;
    plan.separate_errors = proxy.log_separate_errors;
    plan.asap = proxy.logasap;
    if let Some(tag) = &proxy.log_tag {
        plan.tag.clone_from(tag);
    }
    match traffic_format(config, proxy, names) {
        Ok(format) => plan.format = format,
        Err(diagnostic) => diagnostics.push(*diagnostic),
    }
    plan
}

fn traffic_format(
    config: &HaproxyConfig,
    proxy: &ProxyConfig,
    names: &Names,
) -> Result<Option<LogFormat>, Box<config::Diagnostic>> {
    let scope = Scope {
        config,
        proxy,
        names,
    };
    let word = match &proxy.traffic_log {
        TrafficLog::Plain => return Ok(None),
        TrafficLog::Tcp => Word::new(TCP_FORMAT, proxy.span),
        TrafficLog::Http => Word::new(HTTP_FORMAT, proxy.span),
        TrafficLog::HttpClf => Word::new(CLF_FORMAT, proxy.span),
        TrafficLog::Https => Word::new(HTTPS_FORMAT, proxy.span),
        TrafficLog::Format(word) => word.clone(),
    };
    LogFormat::compile(&word, Purpose::Log, &scope)
        .map(Some)
        .map_err(Box::new)
}

thread_local! {
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl LogPlan {
    /// The plan of the process itself: the `log` lines of `global`.
    pub fn global(config: &HaproxyConfig, pid: u32) -> Self {
        Self::of(config, &config.global.logs, &addresses(config), pid)
    }

    fn of(
        config: &HaproxyConfig,
        targets: &[LogTarget],
        positions: &[&config::haproxy::LogAddress],
        pid: u32,
    ) -> Self {
        use config::haproxy::LogAddress;
        let node = system_host_name();
        Self {
            targets: targets
                .iter()
                .filter_map(|target| {
                    Some(PlanTarget {
                        socket: positions
                            .iter()
                            .position(|found| **found == target.address)?,
                        format: target.format,
                        max_length: target.max_length as usize,
                        facility: target.facility,
                        max_level: target.max_level,
                        min_level: target.min_level,
                        is_stream: matches!(
                            target.address,
                            LogAddress::Stdout | LogAddress::Stderr | LogAddress::Fd(_)
                        ),
                    })
                })
                .collect(),
            format: None,
            http: false,
            dontlognull: false,
            dontlog_normal: false,
            separate_errors: false,
            asap: false,
            tag: config
                .global
                .log_tag
                .clone()
                .unwrap_or_else(|| "haproxy".to_owned()),
            host: config.global.log_send_hostname.as_ref().map(|host| {
                if host.is_empty() {
                    node.clone()
                } else {
                    host.clone()
                }
            }),
            node,
            pid,
        }
    }

    /// Whether it has a target at all.
    pub fn is_silent(&self) -> bool {
        self.targets.is_empty()
    }

    /// Whether this transaction is to be logged: `dontlognull`, `dontlog-normal`, `set-log-level silent`.
    pub fn wants_log(&self, txn: &Transaction) -> bool {
        if self.targets.is_empty() || self.format.is_none() || txn.silent || txn.is_logged {
            return false;
        }
        if self.dontlognull && txn.bytes_in == 0 && txn.timings.first_byte_us == 0 {
            return false;
        }
        !self.dontlog_normal || is_troubled(txn)
    }

    /// `option logasap`: lines are written once the answer's head, or in TCP the server's connection, is there.
    pub fn is_early(&self) -> bool {
        self.asap && self.format.is_some()
    }

    /// Logs a transaction that has ended, if it is wanted.
    pub fn transaction(
        &self,
        sockets: &LogSockets,
        session: &Session,
        txn: &Transaction,
        gauges: &Gauges,
        environment: &Environment,
    ) {
        let Some(format) = &self.format else { return };
        if !self.wants_log(txn) {
            return;
        }
        let level = match txn.log_level {
            Some(level) => level,
            None if self.separate_errors && is_troubled(txn) => LogLevel::Err,
            None => LogLevel::Info,
        };
        MESSAGE.with_borrow_mut(|message| {
            message.clear();
            format.render(
                &Line {
                    view: View {
                        session,
                        txn,
                        environment,
                        now_us: txn.timings.end_us,
                    },
                    gauges: *gauges,
                    http: self.http,
                    asap: self.asap,
                },
                message,
            );
            self.send(sockets, level, message);
        });
    }

    /// The short line at the start of a connection, for proxies without a log format.
    pub fn connect(&self, sockets: &LogSockets, session: &Session) {
        if self.format.is_some() || self.targets.is_empty() {
            return;
        }
        self.message(
            sockets,
            LogLevel::Info,
            &format!(
                "Connect from {}:{} to {}:{} ({}/{})",
                session.source.ip().to_canonical(),
                session.source.port(),
                session.destination.ip().to_canonical(),
                session.destination.port(),
                session.frontend.name,
                if self.http { "HTTP" } else { "TCP" }
            ),
        );
    }

    /// A message about the proxy itself: a state change, for instance.
    pub fn message(&self, sockets: &LogSockets, level: LogLevel, text: &str) {
        self.send(sockets, level, text.as_bytes());
    }

    fn send(&self, sockets: &LogSockets, level: LogLevel, message: &[u8]) {
        for target in &self.targets {
            if level > target.max_level {
                continue;
            }
            LINE.with_borrow_mut(|line| {
                line.clear();
                self.header(target, level.max(target.min_level), line);
                line.extend_from_slice(message);
                // The line break counts to the length.
                let limit = target.max_length.clamp(1, MAX_LINE_BYTES) - 1;
                line.truncate(limit);
                line.push(b'\n');
                let _ = target.is_stream;
                sockets.send(target.socket, line);
            });
        }
    }

    fn header(&self, target: &PlanTarget, level: LogLevel, line: &mut Vec<u8>) {
        use std::io::Write;
        let now_us = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_micros() as u64);
        let severity = level as u8;
        let priority = u32::from(target.facility) * 8 + u32::from(severity);
        // Writing to a vector does not fail.
        let _ = match target.format {
            LogLineFormat::Rfc3164 | LogLineFormat::Local => {
                // Without the formatting machinery: most lines begin so.
                let mut digits = itoa::Buffer::new();
                line.push(b'<');
                line.extend_from_slice(digits.format(priority).as_bytes());
                line.push(b'>');
                stamp::write_rfc3164(now_us, line);
                line.push(b' ');
                if let Some(host) = self
                    .host
                    .as_ref()
                    .filter(|_| target.format == LogLineFormat::Rfc3164)
                {
                    let _ = write!(line, "{host} ");
                }
                line.extend_from_slice(self.tag.as_bytes());
                line.push(b'[');
                line.extend_from_slice(digits.format(self.pid).as_bytes());
                line.extend_from_slice(b"]: ");
                Ok(())
            }
            LogLineFormat::Rfc5424 => {
                let _ = write!(line, "<{priority}>1 ");
                stamp::write_iso(now_us, false, line);
                let host = self.host.as_deref().unwrap_or(&self.node);
                write!(line, " {host} {} {} - - ", self.tag, self.pid)
            }
            LogLineFormat::Priority => write!(line, "<{priority}>"),
            LogLineFormat::Short => write!(line, "<{severity}>"),
            LogLineFormat::Timed => {
                let _ = write!(line, "<{severity}>");
                stamp::write_iso(now_us, true, line);
                write!(line, " ")
            }
            LogLineFormat::Iso => {
                stamp::write_iso(now_us, true, line);
                write!(line, " ")
            }
            LogLineFormat::Raw => Ok(()),
        };
    }
}

/// What `dontlog-normal` keeps and `log-separate-errors` raises: errors, retries, redispatches, 5xx.
fn is_troubled(txn: &Transaction) -> bool {
    txn.redispatched
        || txn.retries > 0
        || (500..=599).contains(&txn.status)
        || !matches!(txn.termination.cause, Cause::Normal | Cause::Local)
}

fn system_host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}
