//! The text of a mail: headers, body and the closing dot.

use std::time::{SystemTime, UNIX_EPOCH};

use super::MailSetup;

/// No text of ours may end a line of the protocol early: control characters become spaces.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Headers and body up to the closing dot, lines ended by CR LF.
pub(super) fn message(setup: &MailSetup, subject: &str, body: &str, now: SystemTime) -> String {
    let mut text = format!(
        "Date: {}\r\nFrom: {}\r\nTo: {}\r\nSubject: [{}] {}\r\nX-Mailer: Tandem\r\n\r\n",
        date(now),
        one_line(&setup.from),
        one_line(&setup.to.join(", ")),
        one_line(&setup.router),
        one_line(subject)
    );
    for line in body.lines() {
        // RFC 5321 4.5.2: a line that starts with a dot gets another one.
        if line.starts_with('.') {
            text.push('.');
        }
        // RFC 5321 2.3.8: CR and LF only together. A server that takes one alone as an end of line could see our dot there.
        text.push_str(&line.trim_end_matches('\r').replace('\r', " "));
        text.push_str("\r\n");
    }
    text.push('.');
    text
}

/// A moment as RFC 5322 3.3 writes it, in UTC.
fn date(moment: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (year, month, day) = crate::control::views::civil_date(seconds / 86_400);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(seconds / 86_400 % 7) as usize],
        MONTHS[(month - 1) as usize % 12],
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::setup;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_message_has_its_headers_and_stuffed_dots() {
        let moment = UNIX_EPOCH + Duration::from_secs(1_795_399_114);
        let text = message(&setup(25), "R1 is\nMASTER", "one\n.two", moment);
        assert!(
            text.starts_with("Date: Mon, 23 Nov 2026 01:58:34 +0000\r\nFrom: a@example.com\r\n"),
            "{text}"
        );
        assert!(
            text.contains("To: b@example.com, c@example.com\r\nSubject: [r1] R1 is MASTER\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\none\r\n..two\r\n."), "{text}");
    }

    #[test]
    fn neither_subject_recipient_nor_body_ends_a_line_early() {
        let mut setup = setup(25);
        setup.to = vec!["b@example.com\r\nBcc: x@example.com".to_owned()];
        let text = message(&setup, "x\r\n.\r\nQUIT", "one\r.\rtwo\r\n.\r\n", UNIX_EPOCH);
        assert!(
            text.contains("\r\nTo: b@example.com  Bcc: x@example.com\r\n"),
            "{text}"
        );
        assert!(text.contains("Subject: [r1] x  .  QUIT\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\none . two\r\n..\r\n."), "{text}");
    }
}
