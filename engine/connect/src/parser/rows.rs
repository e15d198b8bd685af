//! Converts records to typed rows.

use weft_model::ColumnType;
use weft_model::Value;
use weft_model::number::{exact_integer, nearest_real};
use weft_model::{ParsedRow, ParsedTable};

use crate::records::Field;

/// The longest key of a row, in bytes.
const KEY_BYTES: usize = 4_096;

/// Converts the fields of a record to a row.
///
/// # Errors
/// Why the record is rejected.
pub(super) fn row_of<'r>(
    table: &ParsedTable,
    file: &str,
    line: u64,
    field: impl Fn(&str) -> Option<&'r Field>,
) -> Result<ParsedRow, String> {
    let mut values = Vec::with_capacity(table.columns.len());
    let mut key_bytes = 0;
    for column in &table.columns {
        let found = field(&column.from).unwrap_or(&Field::Null);
        let value = typed(found, column.kind)
            .map_err(|what| format!("column `{}`: {what}", column.name))?;
        if table.key.contains(&column.name) {
            key_bytes += match &value {
                Value::Text(text) if !text.is_empty() => text.len(),
                Value::Integer(_) => 8,
                _ => return Err(format!("column `{}` is a key and is empty", column.name)),
            };
        }
        values.push(value);
    }
    if key_bytes > KEY_BYTES {
        return Err(format!(
            "the key has {key_bytes} bytes, at most {KEY_BYTES} are allowed"
        ));
    }
    Ok(ParsedRow {
        file: file.to_owned(),
        line: i64::try_from(line).unwrap_or(i64::MAX),
        values,
    })
}

/// Converts a value of a query.
pub(super) fn field_of(value: &Value) -> Field {
    match value {
        Value::Null => Field::Null,
        Value::Integer(number) => Field::Integer(*number),
        Value::Real(number) => Field::Real(*number),
        Value::Text(text) => Field::Text(text.clone()),
        Value::Blob(bytes) => Field::Bytes(bytes.clone()),
    }
}

fn typed(field: &Field, kind: ColumnType) -> Result<Value, String> {
    let refuse = |text: &str, what: &str| {
        let head: String = text.chars().take(40).collect();
        Err(format!("`{head}` is not {what}"))
    };
    Ok(match (kind, field) {
        (_, Field::Null) => Value::Null,
        (ColumnType::Text | ColumnType::Any, Field::Text(text) | Field::Number(text)) => {
            Value::Text(text.clone())
        }
        (ColumnType::Text | ColumnType::Any, Field::Integer(number)) => {
            Value::Text(number.to_string())
        }
        (ColumnType::Text | ColumnType::Any, Field::Real(number)) => {
            Value::Text(number.to_string())
        }
        (ColumnType::Text | ColumnType::Any, Field::Bool(value)) => Value::Text(value.to_string()),
        (ColumnType::Text | ColumnType::Any, Field::Bytes(_)) => return refuse("bytes", "text"),
        (ColumnType::Blob, Field::Bytes(bytes)) => Value::Blob(bytes.clone()),
        (ColumnType::Blob, Field::Text(text)) => Value::Blob(text.as_bytes().to_vec()),
        (ColumnType::Blob, other) => return refuse(&format!("{other:?}"), "bytes"),
        (ColumnType::Integer | ColumnType::Real, Field::Text(text)) if text.trim().is_empty() => {
            Value::Null
        }
        (ColumnType::Integer, Field::Integer(number)) => Value::Integer(*number),
        (ColumnType::Integer, Field::Bool(value)) => Value::Integer(i64::from(*value)),
        (ColumnType::Integer, Field::Text(text) | Field::Number(text)) => {
            match exact_integer(text.trim()) {
                Some(number) => Value::Integer(number),
                None => return refuse(text, "a whole number of at most 64 bits"),
            }
        }
        (ColumnType::Integer, Field::Real(number)) => {
            return refuse(&number.to_string(), "a whole number of at most 64 bits");
        }
        (ColumnType::Real, Field::Integer(number)) => Value::Real(*number as f64),
        (ColumnType::Real, Field::Real(number)) => Value::Real(*number),
        (ColumnType::Real, Field::Text(text) | Field::Number(text)) => {
            match nearest_real(text.trim()) {
                Some(number) => Value::Real(number),
                None => return refuse(text, "a number within the range of REAL"),
            }
        }
        (ColumnType::Real, Field::Bool(value)) => return refuse(&value.to_string(), "a number"),
        (ColumnType::Integer | ColumnType::Real, Field::Bytes(_)) => {
            return refuse("bytes", "a number");
        }
    })
}

#[cfg(test)]
mod tests {
    use weft_model::ParsedColumn;

    use super::*;

    fn table(kind: ColumnType, key: bool) -> ParsedTable {
        ParsedTable {
            logical_unit: "LU".to_owned(),
            name: "t".to_owned(),
            columns: vec![ParsedColumn {
                name: "c".to_owned(),
                kind,
                from: "Field".to_owned(),
            }],
            key: key.then(|| "c".to_owned()).into_iter().collect(),
        }
    }

    #[test]
    fn fields_are_converted_or_rejected() {
        let check = |kind, field: Field, expected: Result<Value, &str>| {
            let row = row_of(&table(kind, false), "f", 1, |name| {
                (name == "Field").then_some(&field)
            });
            let found = row.map(|row| row.values[0].clone());
            assert_eq!(found, expected.map_err(str::to_owned), "{kind} {field:?}");
        };
        let text = |text: &str| Field::Text(text.to_owned());
        check(ColumnType::Integer, text(" 42 "), Ok(Value::Integer(42)));
        check(ColumnType::Integer, text(""), Ok(Value::Null));
        check(
            ColumnType::Integer,
            text("4.2"),
            Err("column `c`: `4.2` is not a whole number of at most 64 bits"),
        );
        check(
            ColumnType::Integer,
            text("9223372036854775808"),
            Err("column `c`: `9223372036854775808` is not a whole number of at most 64 bits"),
        );
        check(
            ColumnType::Integer,
            Field::Bool(true),
            Ok(Value::Integer(1)),
        );
        // The forms in which JSON may write a whole number.
        for (written, whole) in [("5.0", 5), ("1e2", 100), ("-0", 0)] {
            let number = Field::Number(written.to_owned());
            check(ColumnType::Integer, number, Ok(Value::Integer(whole)));
            let number = Field::Number(written.to_owned());
            check(
                ColumnType::Text,
                number,
                Ok(Value::Text(written.to_owned())),
            );
        }
        check(ColumnType::Real, text("-1e3"), Ok(Value::Real(-1000.0)));
        check(
            ColumnType::Real,
            text("nan"),
            Err("column `c`: `nan` is not a number within the range of REAL"),
        );
        check(
            ColumnType::Real,
            text("1e999"),
            Err("column `c`: `1e999` is not a number within the range of REAL"),
        );
        check(ColumnType::Real, Field::Integer(2), Ok(Value::Real(2.0)));
        check(
            ColumnType::Text,
            Field::Bool(false),
            Ok(Value::Text("false".to_owned())),
        );
        check(ColumnType::Text, text(""), Ok(Value::Text(String::new())));
        check(
            ColumnType::Blob,
            text("ab"),
            Ok(Value::Blob(b"ab".to_vec())),
        );
        check(ColumnType::Text, Field::Null, Ok(Value::Null));
    }

    #[test]
    fn a_row_without_its_key_is_refused() {
        let check = |field: Field, expected: &str| {
            let row = row_of(&table(ColumnType::Text, true), "f", 1, |_| Some(&field));
            assert_eq!(row.unwrap_err(), expected);
        };
        check(Field::Null, "column `c` is a key and is empty");
        check(
            Field::Text(String::new()),
            "column `c` is a key and is empty",
        );
        check(
            Field::Text("x".repeat(5_000)),
            "the key has 5000 bytes, at most 4096 are allowed",
        );
    }
}
