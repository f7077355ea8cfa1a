//! Network namespaces by their names, as `ip netns` keeps them.

use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns};

/// Where `ip netns add` puts them.
const FOLDER: &str = "/run/netns";

/// Takes the calling thread, and all that it starts from now on, into a network namespace.
///
/// # Errors
/// There is no namespace of this name, or this process may not enter it.
pub fn enter_network(name: &str) -> io::Result<()> {
    let path = format!("{FOLDER}/{name}");
    let namespace = File::open(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let error = super::enter_network("no-such-namespace").expect_err("it is not there");
        assert!(
            error.to_string().contains("/run/netns/no-such-namespace"),
            "{error}"
        );
    }
}
