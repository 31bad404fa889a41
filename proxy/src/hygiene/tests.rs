use super::*;
use http::{Request, Response, StatusCode};

fn head(method: &str, uri: &str, version: Version, fields: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri(uri).version(version);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn clean(fields: &[(&str, &str)]) -> Result<(Parts, Notes), Refused> {
    let mut head = head("GET", "/a?b", Version::HTTP_11, fields);
    let notes = clean_request(&mut head, 16_384)?;
    Ok((head, notes))
}

#[test]
fn hosts() {
    type Case<'a> = (&'a str, Version, &'a [(&'a str, &'a str)], Option<Refused>);
    let cases: [Case<'_>; 16] = [
        ("/", Version::HTTP_11, &[("host", "a.b")], None),
        ("/", Version::HTTP_11, &[("host", "a.b:8080")], None),
        ("/", Version::HTTP_11, &[("host", "[::1]:80")], None),
        ("/", Version::HTTP_11, &[], Some(Refused::NoHost)),
        ("/", Version::HTTP_10, &[], None),
        ("/", Version::HTTP_11, &[("host", "")], Some(Refused::NoHost)),
        ("/", Version::HTTP_11, &[("host", "a"), ("host", "a")], Some(Refused::ManyHosts)),
        ("/", Version::HTTP_11, &[("host", "user@a")], Some(Refused::BadHost)),
        ("/", Version::HTTP_11, &[("host", "a/b")], Some(Refused::BadHost)),
        ("/", Version::HTTP_11, &[("host", "a b")], Some(Refused::BadHost)),
        ("http://a.b/x", Version::HTTP_11, &[("host", "a.b")], None),
        ("http://A.b/x", Version::HTTP_11, &[("host", "a.B")], None),
        ("http://a.b/x", Version::HTTP_11, &[("host", "c.d")], Some(Refused::HostMismatch)),
        ("http://u@a.b/x", Version::HTTP_11, &[("host", "a.b")], Some(Refused::BadHost)),
        ("http://a.b/x", Version::HTTP_2, &[], None),
        ("http://a.b/x", Version::HTTP_2, &[("host", "c")], Some(Refused::HostMismatch)),
    ];
    for (uri, version, fields, expected) in cases {
        let result = clean_request(&mut head("GET", uri, version, fields), 16_384);
        assert_eq!(result.err(), expected, "{uri} {version:?} {fields:?}");
    }
}

#[test]
fn the_target_becomes_origin_form_and_authority_becomes_host() {
    let mut absolute = head("GET", "http://a.b:80/x?y=1", Version::HTTP_2, &[]);
    clean_request(&mut absolute, 16_384).unwrap();
    assert_eq!(absolute.uri, "/x?y=1");
    assert_eq!(absolute.headers["host"], "a.b:80");
    let mut star = head("OPTIONS", "*", Version::HTTP_11, &[("host", "a")]);
    clean_request(&mut star, 16_384).unwrap();
    assert_eq!(star.uri, "*");
    let long = format!("/{}", "x".repeat(100));
    assert_eq!(
        clean_request(&mut head("GET", &long, Version::HTTP_11, &[("host", "a")]), 50),
        Err(Refused::TargetTooLong)
    );
    assert_eq!(
        clean_request(&mut head("CONNECT", "a.b:443", Version::HTTP_11, &[("host", "a.b:443")]), 50),
        Err(Refused::Connect)
    );
}

#[test]
fn hop_by_hop_fields_do_not_pass() {
    let (head, notes) = clean(&[
        ("host", "a"),
        ("connection", "keep-alive, X-Private"),
        ("connection", "other"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip, Trailers"),
        ("upgrade", "websocket"),
        ("http2-settings", "x"),
        ("x-private", "1"),
        ("other", "2"),
        ("x-strait-hop", "1"),
        ("X-Strait-Served-By", "nobody"),
        ("trailer", "x-sum"),
        ("accept", "*/*"),
        ("authorization", "Bearer x"),
    ])
    .unwrap();
    let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["accept", "authorization", "host", "trailer"]);
    assert_eq!(notes, Notes { upgrade: None, te_trailers: true, expect_continue: false });
}

#[test]
fn an_upgrade_needs_connection_to_name_it() {
    let (_, notes) = clean(&[("host", "a"), ("connection", "Upgrade"), ("upgrade", "websocket")]).unwrap();
    assert_eq!(notes.upgrade.unwrap(), "websocket");
    for (offered, kept) in [("h2c", None), ("H2C", None), ("h2c, websocket", Some("websocket"))] {
        let fields =
            [("host", "a"), ("connection", "Upgrade, HTTP2-Settings"), ("upgrade", offered), ("http2-settings", "A")];
        let (head, notes) = clean(&fields).unwrap();
        assert_eq!(notes.upgrade.as_ref().map(|v| v.to_str().unwrap()), kept, "{offered}");
        assert!(!head.headers.contains_key("http2-settings") && !head.headers.contains_key("upgrade"), "{head:?}");
    }
}

#[test]
fn connection_may_not_name_what_the_pod_relies_on() {
    for name in [
        "Host",
        "content-length",
        "Authorization",
        "cookie",
        "via",
        "forwarded",
        "X-Forwarded-For",
        "x-forwarded-anything",
        "x-strait-hop",
    ] {
        let result = clean(&[("host", "a"), ("connection", name)]);
        assert_eq!(result.err(), Some(Refused::ConnectionNames), "{name}");
    }
}

#[test]
fn fields_that_look_like_framing_are_refused() {
    for name in ["content_length", "Transfer_Encoding"] {
        assert_eq!(clean(&[("host", "a"), (name, "1")]).err(), Some(Refused::FramingTwin), "{name}");
    }
    assert!(clean(&[("host", "a"), ("x_content_length", "1")]).is_ok());
    assert!(clean(&[("host", "a"), ("transfer-encoding", "Chunked")]).is_ok());
    for coding in ["gzip, chunked", "chunked, chunked", ", chunked", "identity", "xchunked", ""] {
        assert_eq!(clean(&[("host", "a"), ("transfer-encoding", coding)]).err(), Some(Refused::Coding), "{coding:?}");
    }
    let twice = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(clean(&twice).err(), Some(Refused::Coding));
}

#[test]
fn who_sent_it_is_appended() {
    let trace = Trace::new("::ffff:10.1.2.3".parse().unwrap(), &Pseudonym::new("us-west"));
    let mut head = head("GET", "/", Version::HTTP_11, &[("via", "1.0 edge"), ("x-forwarded-for", "9.9.9.9")]);
    trace.stamp(&mut head).unwrap();
    let all = |name: &str| head.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("via"), ["1.0 edge", "1.1 us-west.strait"]);
    assert_eq!(all("x-forwarded-for"), ["9.9.9.9", "10.1.2.3"]);
    assert_eq!(all("forwarded"), ["for=10.1.2.3;by=us-west.strait"]);
    let v6 = Trace::new("2001:db8::1".parse().unwrap(), &Pseudonym::new("us-west"));
    assert_eq!(v6.forwarded, "for=\"[2001:db8::1]\";by=us-west.strait");
}

#[test]
fn a_pod_that_is_a_proxy_is_no_loop_but_eight_rounds_are() {
    let trace = Trace::new("10.1.2.3".parse().unwrap(), &Pseudonym::new("us-west"));
    let mut head = head("GET", "/", Version::HTTP_11, &[("via", "1.1 us-east.strait, 1.1 nginx")]);
    for round in 0..8 {
        trace.stamp(&mut head).unwrap_or_else(|_| panic!("round {round}"));
    }
    assert_eq!(trace.stamp(&mut head), Err(Refused::Loop));
}

#[test]
fn a_gateway_request_has_an_authority() {
    let host = HeaderValue::from_static("model-server.ml:8080");
    let uri = absolute(&Uri::from_static("/v1?x"), Some(&host)).unwrap();
    assert_eq!(uri, "http://model-server.ml:8080/v1?x");
    assert_eq!(absolute(&Uri::from_static("/"), None), Err(Refused::NoHost));
}

#[test]
fn answers_lose_what_concerned_the_pods_connection() {
    let response = Response::builder()
        .header("connection", "close, x-internal, content-length")
        .header("keep-alive", "timeout=5")
        .header("x-internal", "1")
        .header("content-length", "5")
        .header("x-strait-served-by", "liar")
        .header("x-strait-error", "liar")
        .header("transfer-encoding", "chunked")
        .header("server", "pod")
        .body(())
        .unwrap();
    let mut head = response.into_parts().0;
    clean_response(&mut head);
    let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["server"], "chunks go before a length");

    let mut switched = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    clean_response(&mut switched);
    assert_eq!(
        (switched.headers["connection"].as_bytes(), &switched.headers["upgrade"]),
        (&b"upgrade"[..], &HeaderValue::from_static("websocket"))
    );
}

#[test]
fn the_crumbs_of_a_cookie_are_one_field_to_pods() {
    let cookies = |version, fields: &[(&str, &str)]| {
        let mut head = head("GET", "http://a.b/", version, fields);
        clean_request(&mut head, 16_384).unwrap();
        let values = head.headers.get_all(header::COOKIE).iter();
        values.map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let crumbs = [("host", "a.b"), ("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
    assert_eq!(cookies(Version::HTTP_2, &crumbs), ["a=1; b=2; c=3; d=4"]);
    assert_eq!(cookies(Version::HTTP_2, &crumbs[..2]), ["a=1"]);
    assert!(cookies(Version::HTTP_2, &crumbs[..1]).is_empty());
    assert_eq!(cookies(Version::HTTP_11, &crumbs), ["a=1", "b=2; c=3", "d=4"], "which has no business doing that");
}

#[test]
fn a_plain_host_has_a_port_there_is() {
    for (host, plain) in [
        ("model", true),
        ("model.ml:80", true),
        ("10.0.0.1:65535", true),
        ("model:65536", false),
        ("model:", false),
        ("", false),
    ] {
        assert_eq!(is_name_and_port(host.as_bytes()), plain, "{host}");
    }
}
