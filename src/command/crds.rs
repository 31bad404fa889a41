//! `strait crds`: the definitions of Strait's own kinds.

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct CrdsArgs {}

/// Prints one YAML document a definition.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a fault of this program.
pub async fn run(_args: CrdsArgs) -> anyhow::Result<()> {
    print(&strait_kubernetes::manifest::crds()?);
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    print!("{text}");
}
