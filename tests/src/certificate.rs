//! Certificates for tests, made anew each time.

use crate::failure::{Context, Outcome};

/// A self-signed certificate for some names: certificate and key in one PEM, as `crt` wants it.
pub fn pem(names: &[&str]) -> Outcome<String> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).context("a certificate")?;
    Ok(format!(
        "{}{}",
        made.cert.pem(),
        made.signing_key.serialize_pem()
    ))
}
