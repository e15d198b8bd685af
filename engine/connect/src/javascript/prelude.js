// The globals of every function. Runs in strict mode before the code of the function, and keeps its own copies of the
// built-ins that it uses, because the function may replace them.
(native) => {
  const { parse, stringify } = JSON;
  const { apply, ownKeys } = Reflect;
  const { defineProperty, freeze, getOwnPropertyDescriptor } = Object;
  const SourceError = Error;
  const EngineError = InternalError;
  const TypeFailure = TypeError;
  const RangeFailure = RangeError;
  const isArray = Array.isArray;
  const text = String;
  const wellFormed = String.prototype.toWellFormed;
  const sourceOf = Function.prototype.toString;
  const requestedRetries = new WeakMap();
  const { get: getWeak, set: setWeak } = WeakMap.prototype;
  const maxLength = 2 ** 24;
  const maxSearch = 2 ** 33;

  const named = (name, message) => {
    const error = new SourceError(message);
    defineProperty(error, "name", { value: name, writable: true, configurable: true });
    return error;
  };
  const plain = (value) => apply(wellFormed, text(value), []);
  const ask = (what, request) => {
    const answer = parse(native(what, stringify(request)));
    if (answer.error !== undefined) throw named(answer.error.name, answer.error.message);
    return answer.ok;
  };

  // These built-ins iterate over as many elements as an object claims to have, or compare long texts, without checking
  // whether the run was ended. The refused calls could keep a thread busy for hours.
  const guard = (prototype, names, check) => {
    for (const name of names) {
      const descriptor = getOwnPropertyDescriptor(prototype, name);
      const original = descriptor.value;
      const guarded = {
        [name](...parameters) {
          check(this, parameters, name);
          return apply(original, this, parameters);
        },
      }[name];
      defineProperty(guarded, "length", { value: original.length, configurable: true });
      defineProperty(prototype, name, { ...descriptor, value: guarded });
    }
  };
  const short = (value, name) => {
    if (value != null && typeof value !== "string" && value.length > maxLength) {
      throw new RangeFailure(`${name}: more than ${maxLength} elements`);
    }
  };
  guard(
    Array.prototype,
    ["join", "reverse", "slice", "splice", "sort", "shift", "unshift", "copyWithin", "fill", "flat", "flatMap", "concat",
      "toLocaleString", "toString", "toReversed", "toSorted", "toSpliced", "with"],
    (self, parameters, name) => {
      short(self, name);
      if (name === "concat") for (const part of parameters) if (isArray(part)) short(part, name);
    },
  );
  guard(
    String.prototype,
    ["indexOf", "lastIndexOf", "includes", "split", "replace", "replaceAll"],
    (self, [sought], name) => {
      if (typeof sought === "string" && self != null && self.length * sought.length > maxSearch) {
        throw new RangeFailure(`${name}: the texts are too long to be searched`);
      }
    },
  );
  delete globalThis.Atomics;
  delete globalThis.SharedArrayBuffer;

  const shown = (value) => {
    if (typeof value === "string") return plain(value);
    if (value instanceof SourceError) return plain(`${value.name}: ${value.message}`);
    if (typeof value === "object" && value !== null) return plain(stringify(value) ?? text(value));
    return plain(value);
  };
  const logger = (level) => (...values) => {
    let line = "";
    for (let at = 0; at < values.length; at++) line += (at === 0 ? "" : " ") + shown(values[at]);
    native("log", stringify({ level, line }));
  };
  const log = freeze({ info: logger("INFO"), warn: logger("WARN"), error: logger("ERROR") });

  const values = (parameters) => {
    const out = [];
    for (let at = 0; at < parameters.length; at++) {
      const value = parameters[at];
      if (value === undefined || value === null) out[at] = null;
      else if (typeof value === "bigint") out[at] = { integer: text(value) };
      else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
        if (typeof value === "number" && (value !== value || value === Infinity || value === -Infinity)) {
          throw new TypeFailure(`parameter ${at + 1} is ${value}`);
        }
        out[at] = typeof value === "string" ? plain(value) : value;
      } else throw new TypeFailure(`parameter ${at + 1} is neither a text, a number, true, false nor null`);
    }
    return out;
  };
  const statement = (sql) => {
    if (typeof sql !== "string") throw new TypeFailure("the statement is not a text");
    return plain(sql);
  };
  const objects = ({ columns, rows }) => {
    const out = [];
    for (let at = 0; at < rows.length; at++) {
      const object = {};
      for (let column = 0; column < columns.length; column++) {
        defineProperty(object, columns[column], {
          value: rows[at][column], writable: true, enumerable: true, configurable: true,
        });
      }
      out[at] = object;
    }
    return out;
  };
  const source = (what, extra) => {
    const answer = (sql, parameters) => ask(what, { ...extra, sql: statement(sql), parameters: values(parameters) });
    const fetch = (sql, ...parameters) => objects(answer(sql, parameters));
    const fetchFirst = (sql, ...parameters) => objects(answer(sql, parameters))[0] ?? null;
    const fetchValue = (sql, ...parameters) => answer(sql, parameters).rows[0]?.[0] ?? null;
    return { fetch, fetchFirst, fetchValue };
  };
  const fabricSource = source("fabric", {});
  const fabricSession = freeze({ ...fabricSource, execute: fabricSource.fetch });

  const retries = ["noRetry", "alwaysRetry", "untilMax"];
  const globals = {
    log,
    console: freeze({ log: log.info, info: log.info, debug: log.info, warn: log.warn, error: log.error }),
    isAborted: () => native("isAborted", "null") === "true",
    sleep: (milliseconds) => {
      if (!(milliseconds >= 0 && milliseconds <= 2 ** 53)) throw new TypeFailure("sleep takes milliseconds from 0");
      return ask("sleep", { milliseconds: Math.floor(milliseconds) });
    },
    fabric: () => fabricSession,
    db: (name) => {
      if (typeof name !== "string") throw new TypeFailure("db takes the name of an interface");
      const of = source("query", { interface: plain(name) });
      return freeze({ ...of, query: of.fetch });
    },
    failJob: (message, retry = "untilMax") => {
      if (!retries.includes(retry)) throw new TypeFailure(`failJob takes one of ${retries.join(", ")}, not ${shown(retry)}`);
      const error = named("JobFailed", shown(message));
      apply(setWeak, requestedRetries, [error, retry]);
      throw error;
    },
  };
  for (const name of ownKeys(globals)) {
    defineProperty(globalThis, name, { value: globals[name], writable: true, configurable: true, enumerable: false });
  }

  return {
    // The returned value as JSON.
    finish: (value) => {
      if (value === undefined) return undefined;
      if (typeof value === "string") return stringify({ text: plain(value) });
      const json = stringify(value);
      return json === undefined ? undefined : stringify({ json });
    },
    // The thrown value as JSON. Reading its properties may run code of the function.
    describe: (thrown) => {
      const part = (name) => {
        const value = thrown[name];
        return typeof value === "string" ? plain(value) : undefined;
      };
      if (typeof thrown === "object" && thrown !== null) {
        const message = part("message");
        if (message !== undefined) {
          return stringify({
            name: part("name"),
            message,
            stack: part("stack"),
            retry: apply(getWeak, requestedRetries, [thrown]),
            is_out_of_memory: thrown instanceof EngineError && message === "out of memory",
          });
        }
      }
      return stringify({ message: `it threw ${shown(thrown)}` });
    },
    // The text of a function, and the number of its parameters before the first default.
    declared: (value) =>
      typeof value === "function" ? stringify({ text: plain(apply(sourceOf, value, [])), length: value.length }) : undefined,
  };
}
