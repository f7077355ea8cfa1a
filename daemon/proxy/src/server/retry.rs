//! `retry-on`: which failures are worth another try.

/// Statuses that `retry-on` knows, sorted.
const STATUSES: [u16; 11] = [401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504];

/// The events of `retry-on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// There was no connection.
    pub conn_failure: bool,
    /// The server ended the connection without a byte of an answer.
    pub empty_response: bool,
    /// What came is no answer, or not the whole head of one.
    pub junk_response: bool,
    /// `timeout server` passed.
    pub response_timeout: bool,
    /// A bit for each of `STATUSES`.
    statuses: u16,
}

impl RetryOn {
    /// The events that words of the configuration name; `0rtt-rejected` means nothing here, for no early data is sent.
    pub fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for word in words {
            match word {
                "conn-failure" => all.conn_failure = true,
                "empty-response" => all.empty_response = true,
                "junk-response" => all.junk_response = true,
                "response-timeout" => all.response_timeout = true,
                // Manual, `retry-on`: what this "currently activates".
                "all-retryable-errors" => {
                    all.conn_failure = true;
                    all.empty_response = true;
                    all.junk_response = true;
                    all.response_timeout = true;
                    for status in [500, 502, 503, 504] {
                        all.statuses |= bit(status);
                    }
                }
                other => all.statuses |= other.parse().map_or(0, bit),
            }
        }
        all
    }

    /// Whether an answer with this status is.
    pub fn status(&self, status: u16) -> bool {
        self.statuses & bit(status) != 0
    }

    /// Whether a request may have to be sent again after it was sent.
    pub fn replays(&self) -> bool {
        self.empty_response || self.junk_response || self.response_timeout || self.statuses != 0
    }
}

fn bit(status: u16) -> u16 {
    STATUSES
        .binary_search(&status)
        .map_or(0, |position| 1 << position)
}

#[cfg(test)]
mod tests {
    use super::RetryOn;

    #[test]
    fn words_name_events() {
        let events = |words: &[&str]| RetryOn::of(words.iter().copied());
        assert_eq!(events(&["none"]), RetryOn::default());
        assert!(!events(&["conn-failure"]).replays() && events(&["conn-failure"]).conn_failure);
        let all = events(&["all-retryable-errors"]);
        assert!(all.junk_response && all.status(503) && !all.status(501) && !all.status(404));
        let some = events(&["404", "425"]);
        assert!(some.replays() && some.status(404) && some.status(425) && !some.status(503));
        assert!(!some.status(200) && !some.conn_failure);
    }
}
