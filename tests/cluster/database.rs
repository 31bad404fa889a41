//! A protocol that is not HTTP: `psql` in us-west talks with a PostgreSQL that runs in us-east.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clients::NAMESPACE;
use crate::wait;
use crate::world::{HOME, NEAR, World};

/// A server that begins empty, and its export.
const LEDGER: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: batch}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      terminationGracePeriodSeconds: 2
      securityContext: {runAsUser: 65534, runAsGroup: 65534}
      containers:
      - name: postgres
        image: postgres:rig
        imagePullPolicy: IfNotPresent
        command:
        - sh
        - -c
        - >-
          initdb -D /tmp/data -U postgres -A trust --locale=C -E UTF8
          && echo 'host all all all trust' >> /tmp/data/pg_hba.conf
          && exec postgres -D /tmp/data -h 0.0.0.0 -k /tmp
        readinessProbe: {exec: {command: [psql, -h, /tmp, -U, postgres, -c, select 1]}, periodSeconds: 2}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: batch}
spec:
  selector: {app: ledger}
  ports: [{name: postgres, port: 5432}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ledger, namespace: batch}
"#;

const PSQL: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: psql, namespace: strait-clients}
spec:
  nodeName: us-west-1
  terminationGracePeriodSeconds: 1
  containers: [{name: psql, image: 'postgres:rig', imagePullPolicy: IfNotPresent, command: [sleep, '2147483647']}]
";

/// A session asks, writes, waits and reads a few megabytes; the next one finds what was written.
pub fn psql(world: &mut World) -> Result<()> {
    match world.rig.rig(&["postgres"]) {
        Err(e) if std::env::var_os("CI").is_none() && format!("{e:#}").contains("no PostgreSQL") => {
            println!("SKIP: psql across clusters was not tried: {e:#}");
            return Ok(());
        }
        made => made.map(drop)?,
    }
    world.rig.apply(NEAR, LEDGER)?;
    world.rig.apply(HOME, PSQL)?;
    world.rig.wait_ready(NEAR, "batch", "deployment/ledger", Duration::from_secs(120))?;
    wait::until("psql reaches us-east", Duration::from_secs(90), || ask(world, "select 1").map(Some))?;
    let written = "create table if not exists entry (n int primary key, text text); truncate entry; \
        insert into entry select n, repeat('x', 100) from generate_series(1, 20000) n; select pg_sleep(3); \
        select count(*), sum(n) from entry";
    let said = ask(world, written)?;
    ensure!(said.trim_end().ends_with("20000|200010000"), "the session that wrote says {said:?}");
    let rows = ask(world, "select * from entry order by n")?;
    let due = (1..=20000).map(|n| format!("{n}|{}\n", "x".repeat(100))).collect::<String>();
    ensure!(rows == due, "{} of {} bytes, or not those that were written", rows.len(), due.len());
    Ok(())
}

fn ask(world: &World, sql: &str) -> Result<String> {
    let server = "host=ledger.batch.svc.clusterset.local user=postgres connect_timeout=5";
    let command =
        ["-n", NAMESPACE, "exec", "--request-timeout=0", "psql", "--", "psql", server, "-qtA", "-v", "ON_ERROR_STOP=1"];
    world.rig.kubectl(HOME, &command.into_iter().chain(["-c", sql]).collect::<Vec<_>>())
}
