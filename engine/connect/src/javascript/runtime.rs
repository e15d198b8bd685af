//! Runs one function in a fresh engine, on the calling thread.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::function::Args;
use rquickjs::{Context, Ctx, Error, Function, Object, Persistent, Runtime, Type, Value};
use serde::Deserialize;
use weft_node::job::Retry;

use super::{Failure, Limits, Location, Returned};

const PRELUDE: &str = include_str!("prelude.js");
/// The name of the prelude in stacks of errors.
const PRELUDE_FILE: &str = "weft";
/// Extra memory to describe an error after the function has used all of its memory.
const SPARE_BYTES: usize = 4 * 1024 * 1024;
/// The longest message of an error, in characters.
const MESSAGE_CHARS: usize = 2_000;

/// The standard library without timers, performance clocks and shared memory.
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

/// Answers a call of the prelude: a word and JSON in, JSON out.
pub(super) type Native = dyn Fn(&str, &str) -> String;

/// The source of a function.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The name of the file in errors.
    pub file: String,
    pub source: String,
    /// The name of the function.
    pub name: String,
}

/// A function that was declared and not called.
#[derive(Debug, Deserialize)]
pub(super) struct Declared {
    pub text: String,
    pub length: usize,
}

/// An engine with limits. It stays on one thread.
pub(super) struct Engine {
    context: Context,
    runtime: Runtime,
    limits: Limits,
    interrupt: Arc<AtomicBool>,
    native: Rc<Native>,
}

impl Engine {
    /// Makes an engine that ends its function once `interrupt` is set.
    pub(super) fn new(
        limits: Limits,
        interrupt: Arc<AtomicBool>,
        native: Rc<Native>,
    ) -> Result<Self, Failure> {
        let no_memory = |_| out_of_memory(limits);
        let runtime = Runtime::new().map_err(no_memory)?;
        runtime.set_memory_limit(limits.memory_bytes);
        runtime.set_max_stack_size(limits.stack_bytes);
        let flag = Arc::clone(&interrupt);
        runtime.set_interrupt_handler(Some(Box::new(move || flag.load(Ordering::Relaxed))));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(no_memory)?;
        Ok(Self {
            context,
            runtime,
            limits,
            interrupt,
            native,
        })
    }

    /// Calls the function. `arguments` are JSON in the order of the parameters; a missing one is `undefined`.
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
            let returned = self.settle(ctx, function.call_arg(call)?)?;
            let finish: Function<'_> = tools.get("finish")?;
            let finished: Option<String> = finish.call((returned,))?;
            Ok(finished)
        })?
        .map(|json| {
            serde_json::from_str(&json)
                .map_err(|error| internal(format!("the returned value: {error}")))
        })
        .transpose()
    }

    /// Reads the file without running it; none if it does not declare the function.
    pub(super) fn declared(&self, script: &Script) -> Result<Option<Declared>, Failure> {
        let json: Option<String> = self.attempt(script, |ctx, tools| {
            let before: Value<'_> = ctx.globals().get(script.name.as_str())?;
            // Functions are declared before the first statement runs, which throws here.
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

    /// The result of a promise; other values are returned unchanged.
    fn settle<'js>(&self, ctx: &Ctx<'js>, value: Value<'js>) -> Result<Value<'js>, Error> {
        let Some(promise) = value.as_promise() else {
            return Ok(value);
        };
        loop {
            if let Some(result) = promise.result() {
                return result;
            }
            if self.is_interrupted() || !ctx.execute_pending_job() {
                let message = "it waits for a promise that nothing can fulfil";
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
        if self.is_interrupted() {
            return Err(interrupted());
        }
        let failure = match (thrown, describe) {
            // The engine also throws null if there is no memory for an error.
            (Thrown::Null, _) => {
                let failure = out_of_memory(self.limits);
                let message = format!("{}, or it threw null", failure.message);
                Failure { message, ..failure }
            }
            (Thrown::Value(value), Some(describe)) => self.describe(script, value, describe),
            (Thrown::Value(_), None) | (Thrown::Nothing, _) => out_of_memory(self.limits),
            (Thrown::Error(message), _) => internal(message),
        };
        // The description may have run code of the function.
        Err(if self.is_interrupted() {
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
                location: described.location(&script.file),
                ..out_of_memory(self.limits)
            },
            Some(described) => {
                let name = described.name.as_deref().filter(|name| is_word(name));
                Failure {
                    kind: name.unwrap_or("Error").into(),
                    location: described.location(&script.file),
                    retry: described.retry.map_or(Retry::AsPolicy, Retry::from),
                    message: cut(described.message),
                }
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}

/// A thrown value as the prelude describes it.
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
    /// The innermost line of `file` in the stack.
    fn location(&self, file: &str) -> Option<Location> {
        let stack = self.stack.as_deref()?;
        let line = stack.lines().find_map(|frame| {
            let (_, behind) = frame.split_once(file)?;
            let digits = behind.strip_prefix(':')?;
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse().ok()
        })?;
        Some(Location {
            file: file.to_owned(),
            line,
        })
    }
}

enum Thrown {
    Value(Persistent<Value<'static>>),
    Null,
    /// There was no memory left for an error.
    Nothing,
    /// The binding failed.
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

/// Runs a file after the statement `first`.
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
    Failure::new("Interrupted", "it was interrupted")
}

fn out_of_memory(limits: Limits) -> Failure {
    let mebibytes = limits.memory_bytes / 1024 / 1024;
    let message = format!("it needs more than its limit of {mebibytes} MiB of memory");
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
