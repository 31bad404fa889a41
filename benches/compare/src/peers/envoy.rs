//! Envoy: HTTP/2 on either side. Its limits on requests at a time are raised, since 1024 of them are its default.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;

use anyhow::Result;

use super::{Meal, Order, Recipe, said};
use crate::certificates::{AUTHORITY, CERTIFICATE, KEY, NAME};
use crate::load::Protocol;

const H2: &str = r#"
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"#;

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let program = if order.run.envoy.exists() { order.run.envoy.clone().into() } else { OsString::from("envoy") };
    let said = said(&program, &["--version"])?;
    // It begins with the path of its program.
    let version = said.split_once("version: ").map_or(said.as_str(), |(_, rest)| rest).to_owned();
    let recipes = match order.protocol {
        Protocol::H1 | Protocol::Post | Protocol::H2c => {
            vec![one(order, &program, "one", order.at, "", order.pod, "")?]
        }
        Protocol::Grpc => vec![one(order, &program, "one", order.at, "", order.pod, H2)?],
        Protocol::Mtls => {
            let file = |name: &str| format!("{{filename: \"{}\"}}", order.certificates.join(name).display());
            let context = |alpn: &str| {
                format!(
                    "common_tls_context: {{{alpn}tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}, tls_certificates: \
                     [{{certificate_chain: {}, private_key: {}}}], validation_context: {{trusted_ca: {}}}}}",
                    file(CERTIFICATE),
                    file(KEY),
                    file(AUTHORITY)
                )
            };
            let down = socket(
                "      ",
                "DownstreamTlsContext",
                &format!("require_client_certificate: true, {}", context("alpn_protocols: [h2], ")),
            );
            let up = socket("    ", "UpstreamTlsContext", &format!("sni: {NAME}, {}", context("")));
            let far = one(order, &program, "far", order.between, &down, order.pod, "")?;
            vec![far, one(order, &program, "near", order.at, "", order.between, &format!("{H2}{up}"))?]
        }
    };
    Ok(Meal { version, recipes })
}

fn socket(indent: &str, kind: &str, context: &str) -> String {
    format!(
        "\n{indent}transport_socket: {{name: envoy.transport_sockets.tls, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}, {context}}}}}"
    )
}

fn one(
    order: &Order<'_>,
    program: &OsStr,
    name: &str,
    at: SocketAddr,
    down: &str,
    to: SocketAddr,
    up: &str,
) -> Result<Recipe> {
    let address = |a: SocketAddr| format!("{{socket_address: {{address: {}, port_value: {}}}}}", a.ip(), a.port());
    let configuration = format!(
        r#"static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: up}}}}]}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}{down}
  clusters:
  - name: up
    type: STATIC
    outlier_detection: {{}}
    circuit_breakers: {{thresholds: [{{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}}]}}{up}
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {pods}}}}}]}}]}}
"#,
        listen = address(at),
        pods = address(to)
    );
    let file = order.folder.join(format!("{name}.yaml"));
    fs::write(&file, &configuration)?;
    let file = file.display().to_string();
    let arguments = ["-c", &file, "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"];
    Ok(Recipe { program: program.to_owned(), arguments: arguments.map(str::to_owned).to_vec(), at, configuration })
}
