//! `weft example`: the example project in a folder, to read and to change.

use crate::cli::ExampleArgs;
use crate::exit::{Failure, OK};
use crate::output::{out, tell};

/// Writes the example.
pub fn run(args: &ExampleArgs) -> anyhow::Result<u8> {
    let is_taken = std::fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        return Err(
            Failure::usage(format!("{} is not empty", args.dir.display()))
                .hint("name a folder that is not there yet")
                .into(),
        );
    }
    crate::project::write_example(&args.dir, args.ids, args.seed)?;
    out::line(&args.dir.display().to_string());
    tell::notice(&format!("next: weft dev --project {}", args.dir.display()));
    Ok(OK)
}
