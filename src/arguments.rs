//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;

/// Self-hosted, end-to-end-encrypted chat server: it passes messages on and cannot read them.
#[derive(Debug, Parser)]
#[command(name = "sealwire", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 all went well; 1 it failed; 2 wrong arguments or configuration.")]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT (Ctrl-C); a second one ends at once
    Serve(Sources),
    /// Print the configuration that is in force and where each value comes from, or what is wrong with it
    CheckConfig {
        /// Where it comes from
        #[command(flatten)]
        sources: Sources,
        /// Print a configuration file of every key with its default, and check nothing
        #[arg(long, conflicts_with_all = ["reference", "config", "listen", "data_dir"])]
        example: bool,
        /// Print the page about every key, and check nothing
        #[arg(long, conflicts_with_all = ["config", "listen", "data_dir"])]
        reference: bool,
    },
    /// Back the store up, restore it, or move it into MongoDB
    #[command(subcommand, arg_required_else_help = true)]
    Admin(AdminCommand),
    /// Ask a running server whether it is ready
    Healthcheck {
        /// The page to ask; without it the one of the server that the configuration describes
        #[arg(long)]
        url: Option<String>,
        /// Configuration file, as `serve` takes it
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// What is done to a store as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Write everything that the store holds into a file, also while servers use it
    ///
    /// The file is the same for every kind of store. It is read again and compared before it gets its name. It holds no text that
    /// anybody has written, but who waits for mail of whom: keep it as carefully as the server.
    Backup {
        /// Where the store is
        #[command(flatten)]
        sources: StoreSources,
        /// The file to make; it must not be there
        file: PathBuf,
    },
    /// Fill an empty store from a file that `backup` has made
    ///
    /// The file is checked to its end before anything is written, and what was written is read back and compared. If this ends half way, no
    /// server uses what is there: run it again.
    Restore {
        /// Where the store is to be
        #[command(flatten)]
        sources: StoreSources,
        /// The file to read
        file: PathBuf,
    },
    /// Move the embedded store (store.data_dir) into an empty MongoDB database (store.url)
    ///
    /// The server must be stopped. The embedded store is left as it is under another name, and is not served again. If this ends half way,
    /// run it again.
    Migrate {
        /// Where the stores are
        #[command(flatten)]
        sources: StoreSources,
    },
}

impl AdminCommand {
    /// Where the configuration comes from.
    pub(crate) fn overrides(&self) -> Overrides {
        let (Self::Backup { sources, .. } | Self::Restore { sources, .. } | Self::Migrate { sources }) = self;
        Overrides { file: sources.config.clone(), data_dir: sources.data_dir.clone(), ..Overrides::default() }
    }
}

/// Where the configuration of a store comes from.
#[derive(Debug, Args)]
pub(crate) struct StoreSources {
    /// Configuration file, as `serve` takes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded store
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// Configuration file; without it the one that SEALWIRE_CONFIG names, else ./sealwire.toml if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on, such as 127.0.0.1:8080; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Directory of the embedded store
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl From<Sources> for Overrides {
    fn from(sources: Sources) -> Self {
        Self { file: sources.config, listen: sources.listen, data_dir: sources.data_dir }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_command_prints_help_and_an_unknown_flag_is_refused() {
        use clap::error::ErrorKind;
        let kind = |words: &[&str]| Arguments::try_parse_from(words).expect_err("refused").kind();
        assert_eq!(kind(&["sealwire"]), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        assert_eq!(kind(&["sealwire", "serve", "--port", "1"]), ErrorKind::UnknownArgument);
    }

    #[test]
    fn flags_of_serve_become_overrides() {
        let words = ["sealwire", "serve", "--config", "a.toml", "--listen", "127.0.0.1:0", "--data-dir", "d"];
        let Command::Serve(sources) = Arguments::try_parse_from(words).expect("good").command else {
            panic!("another command");
        };
        let overrides = Overrides::from(sources);
        assert_eq!(overrides.file, Some("a.toml".into()));
        assert_eq!(overrides.listen.as_deref(), Some("127.0.0.1:0"));
        assert_eq!(overrides.data_dir.as_deref(), Some("d"));
    }
}
