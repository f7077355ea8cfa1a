//! Long lists of patterns and map entries, one file for each match method, and the requests that are looked up.
//!
//! Every request has another path and client: haproxy remembers the last results of slow methods
//! (`tune.pattern.cache-size`), and real clients do not all ask the same. One in three is in the list.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::rows::Lookup;

/// Entries of a list.
pub(crate) const ENTRIES: u32 = 10_000;
/// Different requests of a lookup: more than haproxy remembers.
const REQUESTS: u32 = 3 * ENTRIES;
/// A path that is in the lists.
pub(crate) const PATH: &str = "/shop/item-7321/view";
/// Names the client in the lists of networks.
pub(crate) const CLIENT_HEADER: &str = "X-Client";
/// A client that is in them: the network of number 7321.
pub(crate) const CLIENT: &str = "10.28.153.9";

/// wrk's requests: each of [`REQUESTS`] in turn, in an order that has none.
pub(crate) fn requests_in_lua() -> String {
    format!(
        "local requests, at = {{}}, 0\nfunction init(args)\n  for i = 0, {REQUESTS} - 1 do\n    \
         local n = (i * 7919) % {REQUESTS}\n    requests[i + 1] = string.format(\"GET /shop/item-%d/view HTTP/1.1\\r\\n\
         Host: bench.test\\r\\n{CLIENT_HEADER}: 10.%d.%d.9\\r\\n\\r\\n\", n, math.floor(n / 256), n % 256)\n  end\nend\n\
         function request()\n  at = at % {REQUESTS} + 1\n  return requests[at]\nend\n"
    )
}

/// Writes the file of `lookup` into `folder`, if it is not there yet, and returns its path.
pub(crate) fn write(folder: &Path, lookup: Lookup) -> io::Result<PathBuf> {
    let (name, is_map) = match lookup {
        Lookup::Acl(method) => (method, false),
        Lookup::Map(method) => (method, true),
    };
    let path = folder.join(format!("{name}.{}", if is_map { "map" } else { "lst" }));
    if !path.exists() {
        fs::write(&path, list(name, is_map))?;
    }
    Ok(path)
}

fn list(method: &str, is_map: bool) -> String {
    let mut text = String::from("# made by tandem-bench\n");
    for number in 0..ENTRIES {
        text.push_str(&key(method, number));
        if is_map {
            let _ = write!(text, " pool-{number}");
        }
        text.push('\n');
    }
    text
}

fn key(method: &str, number: u32) -> String {
    match method {
        "beg" => format!("/shop/item-{number}/"),
        "end" => format!("-{number}/view"),
        "sub" => format!("item-{number}/"),
        "dir" => format!("item-{number}"),
        "reg" => format!("^/shop/item-{number}/v[a-z]+$"),
        "ip" => format!("10.{}.{}.0/24", number / 256, number % 256),
        _ => format!("/shop/item-{number}/view"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_entry_that_is_asked_for() {
        let map = list("str", true);
        assert!(map.contains(&format!("\n{PATH} pool-7321\n")));
        assert_eq!(map.lines().count() as u32, ENTRIES + 1);
        assert!(PATH.ends_with(&key("end", 7321)) && PATH.starts_with(&key("beg", 7321)));
    }
}
