//! A terminal of a given size with a program in it: keys go in, a screen of text comes out.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::failure::{Context, Failure, Outcome};
use crate::host::Host;
use crate::wait::wait_for;

/// The columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// The classic size, which every screen must fit.
pub const SMALL: Size = Size {
    columns: 80,
    rows: 24,
};
/// A comfortable window.
pub const LARGE: Size = Size {
    columns: 120,
    rows: 40,
};

/// A program in a terminal; ended when dropped.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    // Closing it hangs up the terminal.
    master: Box<dyn MasterPty + Send>,
}

fn at_least_one(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

impl Terminal {
    /// Starts a program in a new terminal, inside of a host.
    pub fn start(
        host: &Host,
        size: Size,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Outcome<Terminal> {
        let mut words = host.entry();
        words.push(program.to_owned());
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        Terminal::start_words(size, &words, environment)
    }

    /// Starts a command line in a new terminal.
    pub fn start_words(
        size: Size,
        words: &[String],
        environment: &[(&str, &str)],
    ) -> Outcome<Terminal> {
        let pty_size = PtySize {
            rows: size.rows,
            cols: size.columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system()
            .openpty(pty_size)
            .context("a terminal")?;
        let mut command = CommandBuilder::from_argv(words.iter().map(Into::into).collect());
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair
            .slave
            .spawn_command(command)
            .context(&words[words.len().min(8) - 1])?;
        drop(pair.slave);
        let parser = vt100::Parser::new(at_least_one(size.rows), at_least_one(size.columns), 0);
        let screen = Arc::new(Mutex::new(parser));
        let mut reader = pair
            .master
            .try_clone_reader()
            .context("the terminal's output")?;
        let into = Arc::clone(&screen);
        // Ends with the terminal: the read fails once the program and this side have let go of it.
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .process(&buffer[..count]);
            }
        });
        let writer = pair.master.take_writer().context("the terminal's input")?;
        Ok(Terminal {
            screen,
            writer,
            child,
            master: pair.master,
        })
    }

    /// The text on the screen, a line for each row.
    pub fn text(&self) -> String {
        self.screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen()
            .contents()
    }

    /// Whether any character on the screen has a colour of its own.
    pub fn has_colour(&self) -> bool {
        let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = parser.screen();
        let (rows, columns) = screen.size();
        (0..rows.get()).any(|row| {
            (0..columns.get()).any(|column| {
                screen
                    .cell(row, column)
                    .is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
            })
        })
    }

    /// The first line that begins on a red ground, as a banner does.
    pub fn red_line(&self) -> Option<String> {
        let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = parser.screen();
        let (rows, _) = screen.size();
        let red = (0..rows.get()).find(|&row| {
            let cell = screen.cell(row, 0);
            // SGR 41 of ECMA-48.
            cell.is_some_and(|cell| cell.bgcolor() == vt100::Color::Idx(1))
        })?;
        screen.contents().lines().nth(red.into()).map(str::to_owned)
    }

    /// Types: characters as they are, and the sequences of special keys ([`key`]).
    pub fn send(&mut self, keys: &str) -> Outcome {
        self.writer.write_all(keys.as_bytes()).context("typing")?;
        Ok(self.writer.flush()?)
    }

    /// Gives the terminal another size, as a user who drags its corner does.
    pub fn resize(&mut self, size: Size) -> Outcome {
        let pty_size = PtySize {
            rows: size.rows,
            cols: size.columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.master.resize(pty_size).context("resizing")?;
        let mut parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        parser
            .screen_mut()
            .set_size(at_least_one(size.rows), at_least_one(size.columns));
        Ok(())
    }

    /// Waits until the screen holds a text; the screen is part of the failure.
    pub fn wait_for_text(&self, text: &str, limit: Duration) -> Outcome<String> {
        self.wait_for(&format!("{text:?} on the screen"), limit, |screen| {
            screen.contains(text)
        })
    }

    /// Waits until the screen fulfils a condition, and returns it.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&str) -> bool,
    ) -> Outcome<String> {
        wait_for(what, limit, || {
            let screen = self.text();
            if condition(&screen) {
                Ok(screen)
            } else {
                Err(format!("the screen is\n{screen}\n"))
            }
        })
    }

    /// Waits for the program's end and returns its exit code.
    pub fn wait(&mut self, limit: Duration) -> Outcome<u32> {
        wait_for(
            "the end of the program in the terminal",
            limit,
            || match self.child.try_wait() {
                Ok(Some(status)) => Ok(status.exit_code()),
                Ok(None) => Err("it runs".into()),
                Err(error) => Err(error.to_string()),
            },
        )
        .map_err(|failure| Failure::new(format!("{failure}; the screen is\n{}", self.text())))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(outer) = self.child.process_id() {
            for pid in crate::process::children(outer as i32) {
                let _ = crate::process::send(pid, crate::process::Signal::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What special keys send.
pub mod key {
    /// Enter.
    pub const ENTER: &str = "\r";
    /// Escape.
    pub const ESCAPE: &str = "\x1b";
    /// Tab.
    pub const TAB: &str = "\t";
    /// Arrow up.
    pub const UP: &str = "\x1b[A";
    /// Arrow down.
    pub const DOWN: &str = "\x1b[B";
    /// Arrow right.
    pub const RIGHT: &str = "\x1b[C";
    /// Arrow left.
    pub const LEFT: &str = "\x1b[D";
    /// F9.
    pub const F9: &str = "\x1b[20~";
    /// F10.
    pub const F10: &str = "\x1b[21~";
    /// Control and C.
    pub const CTRL_C: &str = "\x03";
}
