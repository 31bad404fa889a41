//! HAProxy: HTTP/2 on either side.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;

use super::{Meal, Order, Recipe, said};
use crate::certificates::{AUTHORITY, BOTH, NAME};
use crate::load::Protocol;

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let version = said("haproxy", &["-v"])?;
    let recipes = match order.protocol {
        Protocol::H1 | Protocol::Post | Protocol::H2c => vec![one(order, "one", order.at, "", order.pod, "")?],
        Protocol::Grpc => vec![one(order, "one", order.at, "", order.pod, " proto h2")?],
        Protocol::Mtls => {
            let (both, ca) = (order.certificates.join(BOTH), order.certificates.join(AUTHORITY));
            let tls =
                format!("ssl crt {} ca-file {} verify required ssl-min-ver TLSv1.3", both.display(), ca.display());
            let far = one(order, "far", order.between, &format!(" {tls} alpn h2"), order.pod, "")?;
            let to = format!(" {tls} verifyhost {NAME} sni str({NAME}) alpn h2");
            vec![far, one(order, "near", order.at, "", order.between, &to)?]
        }
    };
    Ok(Meal { version, recipes })
}

fn one(order: &Order<'_>, name: &str, at: SocketAddr, how: &str, to: SocketAddr, with: &str) -> Result<Recipe> {
    let configuration = format!(
        "global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind {at}{how}
  default_backend up
backend up
  server up {to} check inter 2s{with}
"
    );
    let file = order.folder.join(format!("{name}.cfg"));
    fs::write(&file, &configuration)?;
    let arguments = vec!["-f".into(), file.display().to_string()];
    Ok(Recipe { program: "haproxy".into(), arguments, at, configuration })
}
