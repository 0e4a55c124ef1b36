//! `completions`, `man`: what shells and manual readers take, from the command line's own definition.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::print::{note, raw};

#[derive(clap::Args)]
pub(super) struct CompletionsArgs {
    /// For which shell.
    shell: Shell,
}

#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// The folder to write pages to; it is made where it is missing.
    dir: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "opportune", &mut text);
    raw(&text)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let wrong = || format!("could not write pages to {}", args.dir.display());
    std::fs::create_dir_all(&args.dir).with_context(wrong)?;
    let mut root = Cli::command();
    root.build();
    let count = pages(&root, "opportune", &args.dir).with_context(wrong)?;
    note(format_args!("{count} pages written"));
    Ok(())
}

/// A page for a command and each below it.
fn pages(command: &Command, name: &str, dir: &std::path::Path) -> std::io::Result<usize> {
    let page = clap_mangen::Man::new(command.clone()).title(name);
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(dir.join(format!("{name}.1")), text)?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        count += pages(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(count)
}
