//! The `opportune` command: parse, run, exit code.

use std::process::ExitCode;

use opportune::cli;

fn main() -> ExitCode {
    let cli = cli::parse();
    cli::start_logging(&cli);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(cli::run(cli));
            // a thread that is at work on what nobody waits for must not keep the process
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::print::error(&error);
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
