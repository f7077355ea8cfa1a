//! `~SEQ(…)`, `~SEQx(…)` and `~LST(…)`: a line that stands for several (keepalived.conf(5), Sequence blocks, List blocks).

/// Most lines that one sequence stands for.
const MAX_LINES: usize = 65_536;

/// A line that begins with a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// For each line the variables with their values.
    pub(super) rounds: Vec<Vec<(String, String)>>,
    /// Characters of the line up to the closing parenthesis, with it.
    pub(super) length: usize,
}

/// The characters of a line up to the parenthesis that closes its sequence; none if it does not begin with one.
pub(super) fn head_length(text: &str) -> Option<usize> {
    kind(text)?;
    let end = text.chars().position(|c| c == ')')?;
    Some(end + 1)
}

fn kind(text: &str) -> Option<(Kind, &str)> {
    for (word, kind) in [
        ("~SEQx", Kind::Hexadecimal),
        ("~SEQ", Kind::Decimal),
        ("~LST", Kind::List),
    ] {
        if let Some(rest) = text.strip_prefix(word)
            && rest.trim_start().starts_with('(')
        {
            return Some((kind, rest.trim_start().get(1..).unwrap_or("")));
        }
    }
    None
}

#[derive(Clone, Copy)]
enum Kind {
    Decimal,
    Hexadecimal,
    List,
}

/// Reads the sequence at the beginning of a line. None if there is none; an error if it cannot be understood.
pub(super) fn sequence(text: &str) -> Option<Result<Sequence, String>> {
    // Anything else behind a `~` is an unknown keyword, as for keepalived.
    if !text.starts_with("~SEQ") && !text.starts_with("~LST") {
        return None;
    }
    let Some((kind, rest)) = kind(text) else {
        return Some(Err("a '(' was expected behind the word".to_owned()));
    };
    let Some(length) = head_length(text) else {
        return Some(Err("its ')' is missing".to_owned()));
    };
    let inner = rest.split(')').next().unwrap_or("");
    let rounds = match kind {
        Kind::List => list(inner),
        Kind::Decimal => numbers(inner, false),
        Kind::Hexadecimal => numbers(inner, true),
    };
    Some(rounds.map(|rounds| Sequence { rounds, length }))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn numbers(inner: &str, hexadecimal: bool) -> Result<Vec<Vec<(String, String)>>, String> {
    let words: Vec<&str> = inner.split(',').map(str::trim).collect();
    let (name, values) = match words.split_first() {
        Some((name, values)) if is_name(name) && (1..=3).contains(&values.len()) => (name, values),
        _ => return Err("expected (variable, [start, [step,]] end)".to_owned()),
    };
    let values = values
        .iter()
        .map(|word| integer(word).ok_or_else(|| format!("'{word}' is no number")))
        .collect::<Result<Vec<i64>, String>>()?;
    let (start, step, end) = match values.as_slice() {
        [end] => (if *end < 0 { -1 } else { 1 }, None, *end),
        [start, end] => (*start, None, *end),
        [start, step, end] => (*start, Some(*step), *end),
        _ => return Err("expected (variable, [start, [step,]] end)".to_owned()),
    };
    let step = step.unwrap_or(if end < start { -1 } else { 1 });
    if step == 0 || (step > 0) != (end >= start) && start != end {
        return Err(format!("steps of {step} do not lead from {start} to {end}"));
    }
    if hexadecimal && (start < 0 || end < 0) {
        return Err("hexadecimal numbers are not negative".to_owned());
    }
    let mut rounds = Vec::new();
    let mut value = start;
    while if step > 0 { value <= end } else { value >= end } {
        if rounds.len() >= MAX_LINES {
            return Err(format!("more than {MAX_LINES} values"));
        }
        let text = if hexadecimal {
            format!("{value:x}")
        } else {
            value.to_string()
        };
        rounds.push(vec![((*name).to_owned(), text)]);
        let Some(next) = value.checked_add(step) else {
            break;
        };
        value = next;
    }
    Ok(rounds)
}

/// Decimal, `0x` hexadecimal or `0` octal, as C reads it.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let value = match hexadecimal {
        Some(digits) => i32::from_str_radix(digits, 16).ok()?,
        None if digits.len() > 1 && digits.starts_with('0') => {
            i32::from_str_radix(digits, 8).ok()?
        }
        None => digits.parse::<i32>().ok()?,
    };
    // A second sign is none of a number.
    (value >= 0).then_some(if negative {
        -i64::from(value)
    } else {
        i64::from(value)
    })
}

fn list(inner: &str) -> Result<Vec<Vec<(String, String)>>, String> {
    let items = items(inner)?;
    let Some((names, values)) = items.split_first() else {
        return Err("expected (variable, value, …)".to_owned());
    };
    if let Some(odd) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("'{odd}' is no name of a variable"));
    }
    if values.is_empty() {
        return Err("it has no values".to_owned());
    }
    let mut rounds = Vec::new();
    for value in values {
        if value.len() > names.len() {
            return Err(format!(
                "{} values for {} variables",
                value.len(),
                names.len()
            ));
        }
        if let Some(odd) = value.iter().find(|one| one.contains([' ', '\t'])) {
            return Err(format!("a value has no blanks: '{odd}'"));
        }
        let mut given = value.iter();
        let round = names
            .iter()
            .map(|name| (name.clone(), given.next().cloned().unwrap_or_default()))
            .collect();
        rounds.push(round);
    }
    Ok(rounds)
}

/// What stands between commas; braces hold several together.
fn items(inner: &str) -> Result<Vec<Vec<String>>, String> {
    let mut items = Vec::new();
    let mut rest = inner;
    loop {
        rest = rest.trim_start();
        let item;
        if let Some(group) = rest.strip_prefix('{') {
            let Some((group, after)) = group.split_once('}') else {
                return Err("its '}' is missing".to_owned());
            };
            item = group.split(',').map(|one| one.trim().to_owned()).collect();
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(format!("a ',' was expected before '{rest}'"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            item = vec![rest[..end].trim().to_owned()];
            rest = &rest[end..];
        }
        items.push(item);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        match sequence(text) {
            Some(Ok(found)) => found
                .rounds
                .iter()
                .map(|round| {
                    let values: Vec<&str> = round.iter().map(|(_, value)| value.as_str()).collect();
                    values.join(".")
                })
                .collect(),
            Some(Err(why)) => vec![format!("error: {why}")],
            None => vec!["none".to_owned()],
        }
    }

    #[test]
    fn sequences_count_as_keepalived_counts() {
        let check = |text: &str, expected: &[&str]| assert_eq!(values(text), expected, "{text}");
        check("~SEQ(X, 1, 2, 7) k", &["1", "3", "5", "7"]);
        check("~SEQ(X, 3) k", &["1", "2", "3"]);
        check("~SEQ(X,-3) k", &["-1", "-2", "-3"]);
        check("~SEQ(X,0) k", &["1", "0"]);
        check("~SEQ(X,5,3) k", &["5", "4", "3"]);
        check("~SEQ(X,5,-2,0) k", &["5", "3", "1"]);
        check("~SEQ (X,0x10,0x11) k", &["16", "17"]);
        check("~SEQx(X,144,16,192)", &["90", "a0", "b0", "c0"]);
        check("~SEQ(X,4,4)", &["4"]);
    }

    #[test]
    fn lists_give_their_values_in_turn() {
        let check = |text: &str, expected: &[&str]| assert_eq!(values(text), expected, "{text}");
        check("~LST(X, a, b,c) k", &["a", "b", "c"]);
        check("~LST({P,   Q}, {10,1},{20,4}) k", &["10.1", "20.4"]);
        check("~LST({P, Q}, 1, 2)", &["1.", "2."]);
        check("~LST(X, a, , b)", &["a", "", "b"]);
    }

    #[test]
    fn what_keepalived_refuses_is_refused() {
        for text in [
            "~SEQ(X,5,-2,10)",
            "~SEQ(X,1,0,3)",
            "~SEQ(X,3,1,1)",
            "~SEQ(X,1,2,3,4)",
            "~SEQ(X)",
            "~SEQ()",
            "~SEQ(X,a,b)",
            "~SEQ(X,1,2 k",
            "~SEQx(X,-2,1)",
            "~SEQX(X,1,2)",
            "~SEQ(X,1,2147483646)",
            "~LST(X)",
            "~LST(X, a b, c)",
            "~LST(X,{1,2})",
            "~LST({X,Y},{1,2,3})",
        ] {
            assert!(matches!(sequence(text), Some(Err(_))), "{text}");
        }
        assert_eq!(sequence("~FOO(X) a"), None);
    }
}
