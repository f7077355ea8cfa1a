//! A client of the control socket in its text form: one command, one answer, end of file.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Context, Outcome};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A stats socket.
#[derive(Debug, Clone)]
pub struct ControlSocket {
    path: PathBuf,
}

impl ControlSocket {
    /// The socket at a path as seen from here ([`crate::Host::path`]).
    pub fn at(path: impl AsRef<Path>) -> ControlSocket {
        ControlSocket {
            path: path.as_ref().to_owned(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends one line and returns the whole answer.
    pub fn command(&self, line: &str) -> Outcome<String> {
        let mut stream = UnixStream::connect(&self.path).context(self.path.display())?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .context(format!("the answer to {line:?}"))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Opens a connection for a longer conversation (`prompt`).
    pub fn connect(&self) -> Outcome<UnixStream> {
        let stream = UnixStream::connect(&self.path).context(self.path.display())?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(stream)
    }

    /// `show stat`, a map of column to value for each line.
    pub fn show_stat(&self) -> Outcome<Vec<BTreeMap<String, String>>> {
        let text = self.command("show stat")?;
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let columns: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
            .split(',')
            .collect();
        Ok(lines
            .map(|line| {
                columns
                    .iter()
                    .zip(line.split(','))
                    .map(|(name, value)| (name.to_string(), value.to_string()))
                    .collect()
            })
            .collect())
    }

    /// One value of `show stat`: `stat("nginx", "web1", "status")`.
    pub fn stat(&self, proxy: &str, server: &str, column: &str) -> Outcome<Option<String>> {
        let lines = self.show_stat()?;
        let line = lines
            .iter()
            .find(|line| line["pxname"] == proxy && line["svname"] == server);
        Ok(line.and_then(|line| line.get(column).cloned()))
    }

    /// One value of `show info`.
    pub fn info(&self, name: &str) -> Outcome<Option<String>> {
        let text = self.command("show info")?;
        Ok(text.lines().find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .to_owned(),
            )
        }))
    }
}
