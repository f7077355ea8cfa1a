//! `cookie` of a backend.

use super::args::{Args, Context, Unit};
use super::model::{CookieConfig, CookieMode};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;

/// `cookie NAME [OPTIONS]`.
pub(super) fn cookie(draft: &mut Draft, args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<()> {
    const OPTIONS: [&str; 14] = [
        "attr", "domain", "dynamic", "httponly", "indirect", "insert", "maxidle", "maxlife",
        "nocache", "postonly", "prefix", "preserve", "rewrite", "secure",
    ];
    let span = args.span();
    let name = args.value(cx, "a name")?.text.clone();
    let mut config = CookieConfig {
        name,
        mode: CookieMode::Passive,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        domains: Vec::new(),
        maxidle: None,
        maxlife: None,
        attributes: Vec::new(),
        dynamic: false,
    };
    let mut modes = 0;
    while let Some(word) = args.next_option() {
        match word.text.as_str() {
            "rewrite" => (config.mode, modes) = (CookieMode::Rewrite, modes + 1),
            "insert" => (config.mode, modes) = (CookieMode::Insert, modes + 1),
            "prefix" => (config.mode, modes) = (CookieMode::Prefix, modes + 1),
            "indirect" => config.indirect = true,
            "nocache" => config.nocache = true,
            "postonly" => config.postonly = true,
            "preserve" => config.preserve = true,
            "httponly" => config.httponly = true,
            "secure" => config.secure = true,
            "domain" => {
                let domain = args.value(cx, "a domain")?;
                if !domain.text.starts_with('.') || !domain.text[1..].contains('.') {
                    let message = format!(
                        "domain '{}' has no dot inside: browsers may not keep the cookie",
                        domain.text
                    );
                    cx.warning(DiagnosticKind::Pointless, domain.span, message);
                }
                config.domains.push(domain.text.clone());
            }
            "maxidle" => config.maxidle = Some(args.time(cx, Unit::Seconds)?),
            "maxlife" => config.maxlife = Some(args.time(cx, Unit::Seconds)?),
            "attr" => {
                let attribute = args.value(cx, "an attribute")?;
                if attribute
                    .text
                    .contains(|c: char| c.is_control() || c == ';')
                {
                    let message =
                        "an attribute of a cookie can hold neither ';' nor control characters";
                    cx.error(DiagnosticKind::InvalidValue, attribute.span, message);
                    return None;
                }
                config.attributes.push(attribute.text.clone());
            }
            "dynamic" => config.dynamic = true,
            _ => {
                cx.unknown(word, "as an option of 'cookie'", OPTIONS);
                return None;
            }
        }
    }
    if modes > 1 {
        let message = "'cookie' takes one of 'rewrite', 'insert' and 'prefix'";
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    if config.mode == CookieMode::Rewrite && config.indirect {
        let message = "'cookie … rewrite' and 'indirect' exclude each other";
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    if config.preserve && config.mode != CookieMode::Insert && !config.indirect {
        let message = "'cookie … preserve' needs 'insert' or 'indirect'";
        cx.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    }
    draft.config.cookie = Some(config);
    Some(())
}
