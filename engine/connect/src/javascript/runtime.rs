//! One function in one fresh engine, on the thread that calls it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::function::Args;
use rquickjs::{Context, Ctx, Error, Function, Object, Persistent, Runtime, Type, Value};
use serde::Deserialize;
use weft_engine::job::Retry;

use super::{Failure, Limits, Place, Returned};

const PRELUDE: &str = include_str!("prelude.js");
/// As stacks of errors name the prelude.
const PRELUDE_FILE: &str = "weft";
/// What a failure that is out of memory gets on top, so that it can be described.
const SPARE_BYTES: usize = 4 * 1024 * 1024;
/// The longest message of an error, in characters.
const MESSAGE_CHARS: usize = 2_000;

/// Ordinary JavaScript without anything that waits, measures or shares.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
    intrinsic::WeakRef,
);

/// Answers what the prelude asks: a word and JSON in, JSON out.
pub(super) type Native = dyn Fn(&str, &str) -> String;

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The file, as errors name it.
    pub file: String,
    pub source: String,
    /// The function in it.
    pub name: String,
}

/// What the engine says of a function that it has read and not run.
#[derive(Debug, Deserialize)]
pub(super) struct Declared {
    pub text: String,
    pub length: usize,
}

/// An engine with limits. Made, used and dropped on one thread.
pub(super) struct Engine {
    context: Context,
    runtime: Runtime,
    limits: Limits,
    ending: Arc<AtomicBool>,
    native: Rc<Native>,
}

impl Engine {
    /// A fresh engine that ends whatever it runs as soon as `ending` says so.
    pub(super) fn new(
        limits: Limits,
        ending: Arc<AtomicBool>,
        native: Rc<Native>,
    ) -> Result<Self, Failure> {
        let no_memory = |_| out_of_memory(limits);
        let runtime = Runtime::new().map_err(no_memory)?;
        runtime.set_memory_limit(limits.memory_bytes);
        runtime.set_max_stack_size(limits.stack_bytes);
        let flag = Arc::clone(&ending);
        runtime.set_interrupt_handler(Some(Box::new(move || flag.load(Ordering::Relaxed))));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(no_memory)?;
        Ok(Self {
            context,
            runtime,
            limits,
            ending,
            native,
        })
    }

    /// Calls the function; `arguments` are JSON in the order of its parameters, none where one is missing.
    pub(super) fn call(
        &self,
        script: &Script,
        arguments: &[Option<String>],
    ) -> Result<Option<Returned>, Failure> {
        self.attempt(script, |ctx, tools| {
            eval(ctx, script, "")?;
            let function: Function<'_> = ctx.globals().get(script.name.as_str())?;
            let mut call = Args::new(ctx.clone(), arguments.len());
            for argument in arguments {
                match argument {
                    Some(json) => call.push_arg(ctx.json_parse(json.as_str())?)?,
                    None => call.push_arg(Value::new_undefined(ctx.clone()))?,
                }
            }
            let returned = self.settled(ctx, function.call_arg(call)?)?;
            let finish: Function<'_> = tools.get("finish")?;
            let finished: Option<String> = finish.call((returned,))?;
            Ok(finished)
        })?
        .map(|json| {
            serde_json::from_str(&json).map_err(|error| internal(format!("its value: {error}")))
        })
        .transpose()
    }

    /// Reads the file without running any of it; none where it does not declare the function.
    pub(super) fn declared(&self, script: &Script) -> Result<Option<Declared>, Failure> {
        let json: Option<String> = self.attempt(script, |ctx, tools| {
            let before: Value<'_> = ctx.globals().get(script.name.as_str())?;
            // Functions are declared before the first statement runs, and that one ends it.
            match eval(ctx, script, "throw null;") {
                Err(Error::Exception) => {
                    let thrown = ctx.catch();
                    if !thrown.is_null() {
                        return Err(ctx.throw(thrown));
                    }
                }
                Err(error) => return Err(error),
                Ok(()) => (),
            }
            let function: Value<'_> = ctx.globals().get(script.name.as_str())?;
            if function == before {
                return Ok(None);
            }
            let declared: Function<'_> = tools.get("declared")?;
            declared.call((function,))
        })?;
        json.map(|json| serde_json::from_str(&json).map_err(|error| internal(error.to_string())))
            .transpose()
    }

    /// What a promise comes to; any other value as it is.
    fn settled<'js>(&self, ctx: &Ctx<'js>, value: Value<'js>) -> Result<Value<'js>, Error> {
        let Some(promise) = value.as_promise() else {
            return Ok(value);
        };
        loop {
            if let Some(result) = promise.result() {
                return result;
            }
            if self.is_ending() || !ctx.execute_pending_job() {
                let message = "it waits for a promise that nothing is left to fulfil";
                return Err(rquickjs::Exception::throw_message(ctx, message));
            }
        }
    }

    fn attempt<T>(
        &self,
        script: &Script,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Object<'js>) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let outcome = self.context.with(|ctx| {
            let tools = match self.prepare(&ctx) {
                Ok(tools) => tools,
                Err(error) => return Err((thrown(&ctx, error), None)),
            };
            work(&ctx, &tools).map_err(|error| {
                let describe: Option<Function<'_>> = tools.get("describe").ok();
                let describe = describe.map(|describe| Persistent::save(&ctx, describe));
                (thrown(&ctx, error), describe)
            })
        });
        let (thrown, describe) = match outcome {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        if self.is_ending() {
            return Err(interrupted());
        }
        let failure = match (thrown, describe) {
            // The engine throws null, too, where there is no memory for an error.
            (Thrown::Null, _) => {
                let failure = out_of_memory(self.limits);
                let message = format!("{}, or it threw null", failure.message);
                Failure { message, ..failure }
            }
            (Thrown::Value(value), Some(describe)) => self.describe(script, value, describe),
            (Thrown::Value(_), None) | (Thrown::Nothing, _) => out_of_memory(self.limits),
            (Thrown::Error(message), _) => internal(message),
        };
        // Describing may run code of the function, too.
        Err(if self.is_ending() {
            interrupted()
        } else {
            failure
        })
    }

    fn prepare<'js>(&self, ctx: &Ctx<'js>) -> Result<Object<'js>, Error> {
        let prelude: Function<'_> = ctx.eval_with_options(PRELUDE, options(PRELUDE_FILE))?;
        let native = Rc::clone(&self.native);
        let native = Function::new(ctx.clone(), move |what: String, request: String| {
            native(&what, &request)
        })?;
        prelude.call((native,))
    }

    fn describe(
        &self,
        script: &Script,
        value: Persistent<Value<'static>>,
        describe: Persistent<Function<'static>>,
    ) -> Failure {
        self.runtime
            .set_memory_limit(self.limits.memory_bytes + SPARE_BYTES);
        let described: Option<String> = self.context.with(|ctx| {
            let (value, describe) = (value.restore(&ctx).ok()?, describe.restore(&ctx).ok()?);
            describe.call((value,)).ok()
        });
        let described: Option<Described> =
            described.and_then(|json| serde_json::from_str(&json).ok());
        match described {
            None => out_of_memory(self.limits),
            Some(described) if described.is_out_of_memory => Failure {
                place: described.place(&script.file),
                ..out_of_memory(self.limits)
            },
            Some(described) => Failure {
                place: described.place(&script.file),
                retry: described.retry.map_or(Retry::AsPolicy, Retry::from),
                name: described
                    .name
                    .filter(|name| is_word(name))
                    .unwrap_or_else(|| "Error".to_owned()),
                message: cut(described.message),
            },
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// What was thrown, as the prelude describes it.
#[derive(Debug, Deserialize)]
struct Described {
    name: Option<String>,
    message: String,
    stack: Option<String>,
    /// Set by `failJob`, and by nothing else that a function can do.
    retry: Option<RetryRequest>,
    /// The engine threw it because it had no memory.
    #[serde(default)]
    is_out_of_memory: bool,
}

/// The second argument of `failJob`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RetryRequest {
    NoRetry,
    AlwaysRetry,
    UntilMax,
}

impl From<RetryRequest> for Retry {
    fn from(request: RetryRequest) -> Self {
        match request {
            RetryRequest::NoRetry => Self::Never,
            RetryRequest::AlwaysRetry => Self::Always,
            RetryRequest::UntilMax => Self::AsPolicy,
        }
    }
}

impl Described {
    /// The first line of `file` that the stack names.
    fn place(&self, file: &str) -> Option<Place> {
        let stack = self.stack.as_deref()?;
        let line = stack.lines().find_map(|frame| {
            let (_, behind) = frame.split_once(file)?;
            let digits = behind.strip_prefix(':')?;
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse().ok()
        })?;
        Some(Place {
            file: file.to_owned(),
            line,
        })
    }
}

enum Thrown {
    Value(Persistent<Value<'static>>),
    Null,
    /// No memory was left for an error.
    Nothing,
    /// A failure of the binding itself.
    Error(String),
}

fn thrown(ctx: &Ctx<'_>, error: Error) -> Thrown {
    match error {
        Error::Exception if ctx.has_exception() => match ctx.catch() {
            value if matches!(value.type_of(), Type::Uninitialized | Type::Unknown) => {
                Thrown::Nothing
            }
            value if value.is_null() => Thrown::Null,
            value => Thrown::Value(Persistent::save(ctx, value)),
        },
        Error::Exception | Error::Allocation => Thrown::Nothing,
        error => Thrown::Error(error.to_string()),
    }
}

/// Runs a file, behind `first` on its first line.
fn eval(ctx: &Ctx<'_>, script: &Script, first: &str) -> Result<(), Error> {
    let source = format!("{first}{}", script.source);
    ctx.eval_with_options(source, options(&script.file))
}

fn options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.filename = Some(file.to_owned());
    options
}

fn interrupted() -> Failure {
    Failure::new("Interrupted", "it was ended while it ran")
}

fn out_of_memory(limits: Limits) -> Failure {
    let mebibytes = limits.memory_bytes / 1024 / 1024;
    let message = format!("it needs more than the {mebibytes} MiB of memory that it may have");
    Failure::new("OutOfMemory", message)
}

fn internal(message: String) -> Failure {
    Failure::new("InternalError", message)
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

fn cut(mut message: String) -> String {
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS) {
        message.truncate(at);
        message.push('…');
    }
    message
}
