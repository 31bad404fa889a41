//! nginx: speaks HTTP/2 to clients, HTTP/1.1 to upstreams (HTTP/2 for gRPC only).

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;

use super::{Meal, Order, Recipe, said};
use crate::certificates::{AUTHORITY, CERTIFICATE, KEY, NAME};
use crate::load::Protocol;

const PASS: &str =
    "proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_max_temp_file_size 0;";

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let version = said("nginx", &["-v"])?;
    let tls = |file: &str| order.certificates.join(file).display().to_string();
    let (ca, certificate, key) = (tls(AUTHORITY), tls(CERTIFICATE), tls(KEY));
    Ok(match order.protocol {
        Protocol::H1 | Protocol::Post => {
            Meal { version, recipes: vec![one(order, "one", order.at, "", order.pod, PASS)?] }
        }
        Protocol::H2c => Meal { version, recipes: vec![one(order, "one", order.at, " http2", order.pod, PASS)?] },
        Protocol::Grpc => {
            let pass = "grpc_pass grpc://up;";
            Meal { version, recipes: vec![one(order, "one", order.at, " http2", order.pod, pass)?] }
        }
        Protocol::Mtls => {
            let secured = format!(
                "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_client_certificate {ca}; ssl_verify_client on; \
                 ssl_protocols TLSv1.3;\n    {PASS}"
            );
            let secure = format!(
                "{}\n    proxy_ssl_certificate {certificate}; proxy_ssl_certificate_key {key}; proxy_ssl_trusted_certificate {ca};
    proxy_ssl_verify on; proxy_ssl_name {NAME}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;",
                PASS.replace("http://", "https://")
            );
            let far = one(order, "far", order.between, " ssl", order.pod, &secured)?;
            let near = one(order, "near", order.at, "", order.between, &secure)?;
            Meal { version: format!("{version} (HTTP/1.1 between the two)"), recipes: vec![far, near] }
        }
    })
}

fn one(order: &Order<'_>, name: &str, at: SocketAddr, how: &str, to: SocketAddr, pass: &str) -> Result<Recipe> {
    let own = order.folder.join(name);
    fs::create_dir_all(&own)?;
    let own = own.display();
    let (server, location): (Vec<&str>, Vec<&str>) = pass.lines().partition(|l| l.starts_with("ssl_"));
    let (server, location) = (server.join("\n    "), location.join("\n"));
    let configuration = format!(
        "daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u; scgi_temp_path {own}/s;
  upstream up {{ server {to}; keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen {at}{how};
    {server}
    location / {{ {location} }}
  }}
}}
"
    );
    let file = order.folder.join(format!("{name}.conf"));
    fs::write(&file, &configuration)?;
    let arguments = vec!["-p".into(), own.to_string(), "-c".into(), file.display().to_string()];
    Ok(Recipe { program: "nginx".into(), arguments, at, configuration })
}
