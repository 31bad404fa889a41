//! What was answered, held against what was read. Errors say what is wrong.

use super::answers::Heard;
use super::cases::Verdict;
use super::log::line;

/// A case over HTTP/1.1: what was answered on its connection, and what the backend read of it.
pub fn one(number: usize, verdict: Verdict, heard: &Heard, lines: &[String]) -> Result<(), String> {
    // A request that broke off is the proxy giving up on it: nothing may follow.
    let whole: Vec<&String> = lines.iter().filter(|line| !line.contains(" broken x")).collect();
    let answered: Vec<&String> = heard.answers.iter().filter(|a| a.from_pod).map(|a| &a.body).collect();
    if whole != answered {
        return Err("what the backend read is not what was answered".into());
    }
    if lines.len() > whole.len() && lines.last().is_none_or(|line| !line.contains(" broken x")) {
        return Err("something was read after a request that broke off".into());
    }
    if let Some(refusal) = heard.answers.iter().position(|a| !a.from_pod)
        && (refusal + 1 != heard.answers.len() || !heard.closed)
    {
        return Err("the connection did not end with a refusal".into());
    }
    if !heard.rest.is_empty() {
        return Err("what came back is not a row of answers".into());
    }
    read_as(number, verdict, &whole)
}

/// Holds what the backend read against what the case is.
fn read_as(number: usize, verdict: Verdict, whole: &[&String]) -> Result<(), String> {
    let canary = line("GET", &format!("/canary-{number:03}-"), b"");
    let asked: Vec<&&String> = whole.iter().filter(|line| ***line != canary).collect();
    let about = |line: &str, what: &str| line.split(' ').nth(1).is_some_and(|target| target.starts_with(what));
    if asked.iter().any(|line| about(line, "/canary-")) || whole.len() > asked.len() + 1 {
        return Err("the canary was read as something else".into());
    }
    match verdict {
        Verdict::Two if asked.len() == 2 && about(asked[0], "/case-") && about(asked[1], "/hidden-") => Ok(()),
        Verdict::Two => Err("it is two requests".into()),
        _ if asked.iter().any(|line| about(line, "/hidden-")) => Err("what was hidden was read as a request".into()),
        Verdict::Refused if asked.is_empty() => Ok(()),
        Verdict::Refused => Err("it should be refused".into()),
        Verdict::Either if asked.len() <= 1 => Ok(()),
        Verdict::Either => Err("it was read as several".into()),
        Verdict::One(method, body) => {
            let [one] = asked[..] else { return Err(format!("it is one {method}")) };
            let end = line("", "", body.as_bytes());
            let good = one.starts_with(&format!("{method} ")) && one.ends_with(end.trim_start());
            if good { Ok(()) } else { Err(format!("it is a {method} of {body:?}")) }
        }
    }
}

/// A case over HTTP/2, whose streams are served side by side.
pub fn two(number: usize, verdict: Verdict, answers: &[String], lines: &[String]) -> Result<(), String> {
    let mut whole: Vec<&String> = lines.iter().filter(|line| !line.contains(" broken x")).collect();
    let mut answered: Vec<&String> = answers.iter().collect();
    whole.sort_unstable();
    answered.sort_unstable();
    if whole != answered {
        return Err("what the backend read is not what was answered".into());
    }
    read_as(number, verdict, &whole)
}
