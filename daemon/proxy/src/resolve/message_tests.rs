//! Tests of questions and answers.

use std::str::FromStr;

use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_str(text).expect("a name")
}

fn question(kind: Kind) -> Question {
    Question::new("a.test", kind, 1_232).expect("a question")
}

fn answer(question: &Question, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(&question.bytes).expect("our own");
    message.metadata.message_type = MessageType::Response;
    change(&mut message);
    message.to_vec().expect("bytes")
}

fn a(owner: &str, last: u8) -> Record {
    Record::from_rdata(name(owner), 5, RData::A(A::new(192, 0, 2, last)))
}

#[track_caller]
fn check(kind: Kind, change: impl FnOnce(&mut Message), expected: Result<Answer, NoAnswer>) {
    let question = question(kind);
    assert_eq!(question.read(&answer(&question, change)), expected);
}

fn addresses(last: &[u8]) -> Result<Answer, NoAnswer> {
    Ok(Answer::Addresses(
        last.iter()
            .map(|last| IpAddr::from([192, 0, 2, *last]))
            .collect(),
    ))
}

#[test]
fn answers_are_read() {
    check(
        Kind::A,
        |m| {
            m.add_answer(a("A.Test.", 1)).add_answer(a("a.test.", 2));
        },
        addresses(&[1, 2]),
    );
    check(
        Kind::Aaaa,
        |m| {
            let address = AAAA("2001:db8::1".parse().expect("an address"));
            m.add_answer(Record::from_rdata(name("a.test."), 5, RData::AAAA(address)));
        },
        Ok(Answer::Addresses(vec![
            "2001:db8::1".parse().expect("an address"),
        ])),
    );
    check(
        Kind::Srv,
        |m| {
            for (port, target) in [(8_001, "N1.test."), (0, "n2.test."), (5, ".")] {
                let service = SRV::new(1, 10, port, name(target));
                m.add_answer(Record::from_rdata(name("a.test."), 5, RData::SRV(service)));
            }
        },
        Ok(Answer::Services(vec![Service {
            target: "n1.test".to_owned(),
            port: 8_001,
            weight: 10,
        }])),
    );
    check(Kind::A, |_| {}, Ok(Answer::Empty));
    for (code, expected) in [
        (ResponseCode::NXDomain, Answer::Nx),
        (ResponseCode::Refused, Answer::Refused),
        (ResponseCode::ServFail, Answer::Other),
    ] {
        check(Kind::A, |m| m.metadata.response_code = code, Ok(expected));
    }
    check(
        Kind::A,
        |m| m.metadata.truncation = true,
        Ok(Answer::Truncated),
    );
}

#[test]
fn a_chain_of_aliases_is_followed_so_far_and_no_further() {
    let chain = |links: usize| {
        move |m: &mut Message| {
            let host = |at: usize| match at {
                0 => "a.test.".to_owned(),
                at => format!("n{at}.test."),
            };
            for at in 0..links {
                let alias = RData::CNAME(CNAME(name(&host(at + 1))));
                m.add_answer(Record::from_rdata(name(&host(at)), 5, alias));
            }
            m.add_answer(a(&host(links), 1));
        }
    };
    check(Kind::A, chain(MAX_ALIASES), addresses(&[1]));
    check(Kind::A, chain(MAX_ALIASES + 1), Ok(Answer::Empty));
}

#[test]
fn aliases_lead_to_the_records_and_others_do_not_count() {
    let alias =
        |from: &str, to: &str| Record::from_rdata(name(from), 5, RData::CNAME(CNAME(name(to))));
    check(
        Kind::A,
        |m| {
            m.add_answer(a("c.test.", 3))
                .add_answer(alias("b.test.", "c.test."))
                .add_answer(alias("a.test.", "b.test."))
                .add_answer(a("d.test.", 4));
        },
        addresses(&[3]),
    );
    // A circle ends.
    check(
        Kind::A,
        |m| {
            m.add_answer(alias("a.test.", "b.test."))
                .add_answer(alias("b.test.", "a.test."));
        },
        Ok(Answer::Empty),
    );
}

#[test]
fn what_does_not_fit_the_question_is_no_answer() {
    check(
        Kind::A,
        |m| m.metadata.id = m.metadata.id.wrapping_add(1),
        Err(NoAnswer),
    );
    check(
        Kind::A,
        |m| m.metadata.message_type = MessageType::Query,
        Err(NoAnswer),
    );
    check(Kind::A, |m| m.queries.clear(), Err(NoAnswer));
    check(
        Kind::A,
        |m| m.queries = vec![Query::query(name("b.test."), RecordType::A)],
        Err(NoAnswer),
    );
    check(
        Kind::A,
        |m| m.queries = vec![Query::query(name("a.test."), RecordType::AAAA)],
        Err(NoAnswer),
    );
    assert!(Question::new(&"x".repeat(64), Kind::A, 512).is_none());
    assert!(!valid_name("..bad name") && !valid_name("") && !valid_name("."));
    assert!(valid_name("a-b.test") && valid_name("_h._tcp.test."));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let question = question(Kind::A);
        let _ = question.read(&bytes);
        // Behind a good number and question, too.
        let mut with_head = question.bytes.clone();
        with_head[2] |= 0x80;
        with_head[6] = 0;
        with_head[7] = 3;
        with_head.extend_from_slice(&bytes);
        let _ = question.read(&with_head);
    }
}
