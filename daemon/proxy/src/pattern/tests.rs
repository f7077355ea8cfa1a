use std::sync::Arc;

use super::list::{Chosen, Use};
use super::*;

#[track_caller]
fn check(method: Method, ignore_case: bool, words: &[&str], sample: &str, expected: bool) {
    let mut patterns = Patterns::new(method, ignore_case);
    for word in words {
        patterns.add(word).expect("a good pattern");
    }
    assert_eq!(
        patterns.matches(&Value::text(sample.as_bytes())),
        expected,
        "{method:?} {words:?} on {sample}"
    );
}

#[test]
fn texts_match_as_the_manual_says() {
    check(Method::Beg, false, &["/a", "/b"], "/bcd", true);
    check(Method::Beg, false, &["/A"], "/a", false);
    check(Method::Beg, true, &["/A"], "/a", true);
    check(Method::End, false, &[".png"], "/x.png", true);
    check(Method::Dir, false, &["img"], "/a/img/b", true);
    check(Method::Dir, false, &["/img/"], "/a/img?x", true);
    check(Method::Dir, false, &["img"], "/a/img.b/", false);
    check(Method::Dom, false, &["example"], "www.example.com:80", true);
    check(Method::Dom, false, &["xample"], "www.example.com", false);
    check(Method::Reg, true, &["^/A+$"], "/aaa", true);
    check(Method::Str, false, &["a", "b"], "b", true);
    check(Method::Len, false, &["3:5"], "abcd", true);
    check(Method::Bin, false, &["2f61"], "/a", true);
}

#[test]
fn integers_and_networks_match_as_the_manual_says() {
    check(Method::Int, false, &["5:"], "7", true);
    check(Method::Int, false, &[":4"], "5", false);
    check(Method::Int, false, &["1:3", "9"], "9", true);
    check(Method::Int, false, &[":3"], "-1", true);
    check(Method::Ip, false, &["10.0.0.0/8"], "10.1.2.3", true);
    check(
        Method::Ip,
        false,
        &["10.0.0.0/255.0.0.0"],
        "::ffff:10.1.2.3",
        true,
    );
    check(
        Method::Ip,
        false,
        &["10.0.0.0/255.0.255.0"],
        "10.9.0.3",
        true,
    );
    check(
        Method::Ip,
        false,
        &["::ffff:11.0.0.0/104"],
        "11.1.1.1",
        true,
    );
    check(Method::Ip, false, &["::1"], "127.0.0.1", false);
    check(Method::Ip, false, &["0.0.0.0/0"], "127.0.0.1", true);
}

#[test]
fn operators_become_ranges() {
    let mut operator = Operator::default();
    let mut read = |word| with_operator(word, &mut operator);
    assert_eq!(read("3:9"), Ok(Some("3:9".to_owned())));
    assert_eq!(read("gt"), Ok(None));
    assert_eq!(read("5"), Ok(Some("6:".to_owned())));
    assert_eq!(read("7"), Ok(Some("8:".to_owned())));
    assert!(read("1:2").is_err());
    assert_eq!(read("lt"), Ok(None));
    assert_eq!(read("5"), Ok(Some(":4".to_owned())));
}

#[test]
fn bad_patterns_are_refused() {
    for (method, word) in [
        (Method::Int, "x"),
        (Method::Ip, "10.0.0.0/33"),
        (Method::Reg, "("),
        (Method::Bool, "maybe"),
        (Method::Bin, "2f6"),
    ] {
        assert!(Patterns::new(method, false).add(word).is_err(), "{word}");
    }
}

const HERE: Use = Use {
    by_acl: false,
    span: config::Span {
        file: config::FileId(0),
        line: 1,
        column: 1,
        length: 1,
    },
};

fn list(entries: &[(&str, &str)]) -> List {
    let list = List::new(Source::File("test".to_owned()), true);
    for (key, value) in entries {
        list.add(key, value, None).expect("a good entry");
    }
    list
}

fn found(matcher: &Matcher, sample: &str) -> Option<String> {
    matcher
        .find(&Value::text(sample.as_bytes()))
        .map(|entry| entry.value().to_string())
}

/// The finest match where HAProxy keeps trees, else the first; each method against a search one by one, in three
/// states: as read, after changes, and after a commit.
#[test]
fn every_index_finds_what_a_search_one_by_one_finds() {
    let words = ["a", "b", "/", ".", "ab", "B"];
    let mut seed = 7u32;
    let mut next = |bound: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize % bound
    };
    let methods = [
        Method::Str,
        Method::Beg,
        Method::End,
        Method::Sub,
        Method::Dir,
        Method::Dom,
        Method::Reg,
        Method::Int,
        Method::Ip,
    ];
    for round in 0..90 {
        let method = methods[round % methods.len()];
        let ignore_case = round % 2 == 0;
        let mut word = |method| -> String {
            match method {
                Method::Int => {
                    let low = next(50);
                    format!("{low}:{}", low + next(9))
                }
                Method::Ip => format!("10.{}.0.0/{}", next(4), [8, 9, 16, 32][next(4)]),
                Method::Reg => {
                    ["abc", "^/ab", "b+$", "A.B", "(?i)abB", "/a[ab]/b"][next(6)].to_owned()
                }
                _ => (0..1 + next(4)).map(|_| words[next(6)]).collect(),
            }
        };
        let list = list(&[]);
        let matcher = list
            .matcher(method, ignore_case, None, HERE)
            .expect("no entries");
        let mut model: Vec<(u64, String)> = Vec::new();
        for step in 0..60 {
            let key = word(method);
            if step % 5 == 4 {
                list.remove(Chosen::Key(&key));
            } else {
                list.add(&key, "v", None).expect("a good entry");
            }
            model.clear();
            model.extend(
                list.entries(None)
                    .iter()
                    .map(|entry| (entry.order, entry.key.to_string())),
            );
            if step == 45 {
                let version = list.prepare();
                for (_, key) in &model {
                    list.add(key, "w", Some(version)).expect("a good entry");
                }
                assert!(list.commit(version));
                model = list
                    .entries(None)
                    .iter()
                    .map(|entry| (entry.order, entry.key.to_string()))
                    .collect();
            }
            let sample = match method {
                Method::Int => word(method).split(':').next().unwrap_or("0").to_owned(),
                Method::Ip => word(method).split('/').next().unwrap_or("").to_owned(),
                Method::Reg => word(Method::Str) + "abc/abb",
                _ => word(method) + &word(method),
            };
            let value = Value::text(sample.as_bytes());
            let matching = model.iter().filter(|(_, key)| {
                let mut one = Patterns::new(method, ignore_case);
                one.add(key).expect("a good pattern");
                one.matches(&value)
            });
            let fineness = |key: &str| match method {
                Method::Ip => key
                    .rsplit('/')
                    .next()
                    .and_then(|length| length.parse().ok())
                    .unwrap_or(0),
                _ if method.is_tree(ignore_case) => key.len(),
                _ => 0,
            };
            let expected = matching
                .min_by_key(|(order, key)| (std::cmp::Reverse(fineness(key)), *order))
                .map(|(order, _)| *order);
            let got = matcher.find(&value).map(|entry| entry.order);
            assert_eq!(
                got, expected,
                "{method:?} {ignore_case} {sample} in {model:?}"
            );
        }
    }
}

#[test]
fn the_finest_or_the_first_is_found() {
    let map = list(&[
        ("/a", "one"),
        ("/ab", "two"),
        ("/abc", "three"),
        ("/ab", "dup"),
    ]);
    let beg = map.matcher(Method::Beg, false, None, HERE).expect("texts");
    assert_eq!(found(&beg, "/abd").as_deref(), Some("two"));
    let folded = map.matcher(Method::Beg, true, None, HERE).expect("texts");
    assert_eq!(found(&folded, "/ABD").as_deref(), Some("one"));
    let exact = map.matcher(Method::Str, false, None, HERE).expect("texts");
    assert_eq!(map.remove(Chosen::Key("/ab")), 2);
    assert_eq!(found(&exact, "/ab"), None);
    assert_eq!(found(&beg, "/abd").as_deref(), Some("one"));
}

#[test]
fn a_prepared_version_matches_when_it_is_committed() {
    let map = list(&[("a", "old")]);
    let matcher = map.matcher(Method::Str, false, None, HERE).expect("texts");
    let (one, two) = (map.prepare(), map.prepare());
    assert_eq!((one, two), (1, 2));
    map.add("b", "new", Some(one)).expect("a good entry");
    assert_eq!(found(&matcher, "b"), None);
    assert!(!map.commit(3) && !map.commit(0));
    assert!(map.commit(one) && !map.commit(one));
    assert_eq!(found(&matcher, "a"), None);
    assert_eq!(found(&matcher, "b").as_deref(), Some("new"));
    assert!(map.commit(two));
    assert!(map.entries(None).is_empty() && found(&matcher, "b").is_none());
}

#[test]
fn an_entry_that_one_reader_cannot_take_is_refused_for_all() {
    let map = list(&[("1.2.3.4", "5")]);
    let ip = map
        .matcher(Method::Ip, false, Some(Output::Int), HERE)
        .expect("an address");
    assert_eq!(
        map.add("x", "5", None),
        Err("'x' is not a valid IPv4 or IPv6 address.".to_owned())
    );
    assert_eq!(
        map.add("::1", "y", None),
        Err("unable to parse 'y'.".to_owned())
    );
    assert_eq!(map.entries(None).len(), 1);
    let entry = ip.find(&Value::text(b"1.2.3.4")).expect("it is there");
    assert_eq!(map.set(Chosen::Reference(entry.reference()), "6"), Ok(1));
    assert_eq!(ip.look_up(&Value::text(b"1.2.3.4")), Some(Value::Int(6)));
}

#[test]
fn groups_of_a_match_enter_the_value() {
    let map = list(&[("^/r(.*)$", "/new/\\1")]);
    let matcher = map
        .matcher(Method::Regm, false, Some(Output::Text), HERE)
        .expect("an expression");
    assert_eq!(
        matcher.look_up(&Value::text(b"/rest")),
        Some(Value::text(b"/new/est"))
    );
}

#[test]
fn lookups_go_on_while_a_list_changes() {
    let map = Arc::new(list(&[("stays", "1")]));
    let matcher = map.matcher(Method::Str, false, None, HERE).expect("texts");
    let writer = {
        let map = Arc::clone(&map);
        std::thread::spawn(move || {
            for round in 0..200 {
                map.add(&format!("k{round}"), "v", None)
                    .expect("a good entry");
                if round % 20 == 0 {
                    let version = map.prepare();
                    map.add("stays", "1", Some(version)).expect("a good entry");
                    assert!(map.commit(version));
                }
            }
        })
    };
    while !writer.is_finished() {
        assert_eq!(found(&matcher, "stays").as_deref(), Some("1"));
    }
    writer.join().expect("the writer is fine");
}
