//! `enable_dbus` and its names.
//!
//! Here are only the words; the control process speaks on the bus, where the daemon was built with it.

use serde::{Deserialize, Serialize};

use super::tree::Statement;
use super::values::{Complaints, text};
use crate::diagnostic::DiagnosticKind;

/// The name on the bus where none is configured.
const SERVICE_NAME: &str = "org.keepalived.Vrrp1";
/// What stands in an object's path for an interface that is not there.
const NO_INTERFACE_NAME: &str = "none";
/// A bus knows no longer name (D-Bus specification, "Message Protocol: Names").
const MAX_NAME_BYTES: usize = 255;

/// What `global_defs` says of D-Bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dbus {
    /// `enable_dbus`.
    pub enabled: bool,
    /// `dbus_service_name`, org.keepalived.Vrrp1 by default.
    pub service_name: String,
    /// `dbus_no_interface_name` (keepalived 2.3): what stands in the path of an instance without an interface; `none` by default.
    pub no_interface_name: String,
}

impl Default for Dbus {
    fn default() -> Self {
        Self {
            enabled: false,
            service_name: SERVICE_NAME.to_owned(),
            no_interface_name: NO_INTERFACE_NAME.to_owned(),
        }
    }
}

/// Reads one of the keywords. What no bus would take is said and left out: keepalived runs on without the bus, too.
pub(super) fn read(dbus: &mut Dbus, statement: &Statement, complaints: &mut Complaints<'_>) {
    let (into, what, fits): (_, _, fn(&str) -> bool) = match statement.name() {
        "dbus_service_name" => (&mut dbus.service_name, "a name on the bus", is_bus_name),
        "dbus_no_interface_name" => (
            &mut dbus.no_interface_name,
            "letters, digits and '_'",
            is_path_element,
        ),
        _ => {
            dbus.enabled = true;
            return;
        }
    };
    let Some(name) = text(statement, what, complaints) else {
        return;
    };
    if fits(&name) {
        *into = name;
        return;
    }
    let message = format!(
        "'{}' expects {what}, found '{name}': '{into}' is used",
        statement.name()
    );
    complaints.warning(DiagnosticKind::InvalidValue, statement.span(), message);
}

/// Two elements or more of letters, digits, `_` and `-`, none of which begins with a digit.
fn is_bus_name(name: &str) -> bool {
    let mut elements = name.split('.');
    let is_element = |element: &str| {
        let first = element.bytes().next();
        first.is_some_and(|first| !first.is_ascii_digit())
            && element
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    name.len() <= MAX_NAME_BYTES && name.contains('.') && elements.all(is_element)
}

fn is_path_element(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_bus_are_told_from_others() {
        for name in ["org.keepalived.Vrrp1", "a.b", "org.example._1-x"] {
            assert!(is_bus_name(name), "{name}");
        }
        for name in [
            "", "org", "org.", ".org", "org..x", "org.1x", "org.x y", ":1.5",
        ] {
            assert!(!is_bus_name(name), "{name}");
        }
        assert!(is_path_element("no_interface1"));
        assert!(!is_path_element("") && !is_path_element("a-b"));
    }
}
