//! The end of a client's connection.

use std::time::Duration;

use super::Connection;
use crate::net::Stream;

/// How long a closed client may take to read what was sent, and how much of its own is drained meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const MAX_DRAINED: usize = 256 << 10;

/// Ends a client's connection so that it can read what was sent: our direction first, then what it still sends is drained.
pub(super) async fn close(c: &mut Connection) {
    let is_plain = matches!(
        c.client,
        Stream::Tcp(_) | Stream::Fresh(_) | Stream::Unix(_)
    );
    if c.is_gone || (is_plain && !c.lingers) {
        return;
    }
    c.timer.set(c.now_us(), Some(LINGER));
    // Nothing can be done about a connection that cannot even be closed.
    if !matches!(
        c.wait(|c, context| c.client.poll_shutdown(context)).await,
        Ok(Ok(()))
    ) {
        return;
    }
    if !c.lingers {
        return;
    }
    let mut drained = 0;
    while drained < MAX_DRAINED {
        let count = c.input.len();
        c.input.consume(count);
        match c
            .wait(|c, context| {
                let polled = c.client.poll_read(context, &mut c.input);
                if polled.is_pending() {
                    // Thousands may be waited for at a time.
                    c.input.release_if_empty();
                }
                polled
            })
            .await
        {
            Ok(Ok(count)) if count > 0 => drained += count,
            _ => return,
        }
    }
}
