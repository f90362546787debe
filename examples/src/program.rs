//! What every example does around its work: help, errors with what they come from, exit codes.

use std::error::Error;
use std::process::ExitCode;

/// Any error.
pub type AnyError = Box<dyn Error>;

/// One example: its name and how it is called.
pub struct Program {
    /// As it is typed.
    pub name: &'static str,
    /// What `--help` prints.
    pub usage: &'static str,
}

impl Program {
    /// Does the work of a command line that was parsed, if it did not ask for help.
    pub fn run<A, E: Error>(
        &self,
        args: Result<Option<A>, E>,
        work: impl FnOnce(A) -> Result<(), AnyError>,
    ) -> ExitCode {
        match args {
            Ok(Some(args)) => self.outcome(work(args)),
            Ok(None) => {
                println!("{}", self.usage);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{}: {error}\n{}", self.name, self.usage);
                ExitCode::from(2)
            }
        }
    }

    fn outcome(&self, outcome: Result<(), AnyError>) -> ExitCode {
        let Err(error) = outcome else {
            return ExitCode::SUCCESS;
        };
        eprintln!("{}: {error}", self.name);
        let mut cause = error.source();
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
        ExitCode::FAILURE
    }
}
