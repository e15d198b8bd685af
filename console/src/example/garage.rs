//! `garage.sqlite`: vehicles, their services, and the parts used.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, Transaction, params};

use super::rng::Rng;
use super::{Options, is_broken, vehicle_id};

const SCHEMA: &str = "
create table vehicle (
    id text primary key,
    car_id integer not null,
    vin text not null,
    plate text not null,
    color text not null,
    first_registered text not null,
    mileage_km integer
) without rowid;
create table service_history (
    id integer primary key,
    vehicle_id text not null,
    serviced_on text not null,
    workshop text not null,
    mileage_km integer not null,
    cost_cents integer not null
);
create table part (
    service_id integer not null,
    position integer not null,
    part_number text not null,
    name text not null,
    quantity integer not null,
    price_cents integer not null,
    primary key (service_id, position)
) without rowid;
";

/// Created last: sorting once is cheaper than keeping each row in order.
const INDEXES: &str = "
create index service_history_vehicle on service_history (vehicle_id);
create index vehicle_first_registered on vehicle (first_registered desc, id);
";

const COLORS: [&str; 8] = [
    "beige", "black", "blue", "brown", "green", "red", "white", "yellow",
];
const WORKSHOPS: [&str; 6] = [
    "Bay Road", "Harbour", "Hillside", "Old Mill", "Station", "West End",
];
const PARTS: [(&str, &str, i64); 10] = [
    ("BP-100", "brake pads", 4_900),
    ("OF-210", "oil filter", 1_250),
    ("AF-220", "air filter", 1_890),
    ("SP-310", "spark plug", 790),
    ("TB-400", "timing belt", 8_900),
    ("WP-410", "water pump", 11_500),
    ("BT-500", "battery", 9_900),
    ("TY-600", "tyre", 7_400),
    ("WB-700", "wiper blade", 1_490),
    ("EX-800", "exhaust", 18_900),
];
/// The characters of a vehicle identification number, which has no I, O or Q.
const VIN: &[u8] = b"ABCDEFGHJKLMNPRSTUVWXYZ0123456789";

/// Rows written besides vehicles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) services: i64,
    pub(super) parts: i64,
}

/// Writes the file, in one transaction. `models` are the ids of cars with their model years.
pub(super) fn write(path: &Path, options: Options, models: &[(i64, i64)]) -> Result<Counts> {
    ensure!(!models.is_empty(), "the example has no models of cars");
    ensure!(!path.exists(), "{} exists already", path.display());
    let failed = || format!("cannot write {}", path.display());
    let mut connection = Connection::open(path).with_context(failed)?;
    // No journal: a file that was not finished is written again from the start.
    connection
        .execute_batch(
            "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -65536;",
        )
        .with_context(failed)?;
    let transaction = connection.transaction().with_context(failed)?;
    transaction.execute_batch(SCHEMA).with_context(failed)?;
    let counts = fill(&transaction, options, models).with_context(failed)?;
    transaction.execute_batch(INDEXES).with_context(failed)?;
    transaction.commit().with_context(failed)?;
    connection
        .close()
        .map_err(|(_, error)| error)
        .with_context(failed)?;
    Ok(counts)
}

fn fill(
    transaction: &Transaction<'_>,
    options: Options,
    models: &[(i64, i64)],
) -> rusqlite::Result<Counts> {
    let mut rng = Rng::seeded(options.seed);
    let mut counts = Counts::default();
    let mut vehicle = transaction.prepare("insert into vehicle values (?, ?, ?, ?, ?, ?, ?)")?;
    for number in 1..=options.ids {
        let id = vehicle_id(number);
        let (car, year) = *rng.pick(models);
        let mileage_km = rng.between(20_000, 400_000);
        let registered = date(&mut rng, year, year + 2);
        let color = *rng.pick(&COLORS);
        let (vin, plate) = (vin(&mut rng), plate(number));
        if is_broken(number, options) {
            vehicle.execute(params![
                id,
                car,
                vin,
                plate,
                color,
                registered,
                "not readable"
            ])?;
        } else {
            vehicle.execute(params![id, car, vin, plate, color, registered, mileage_km])?;
        }
        for _ in 0..rng.between(2, 4) {
            counts.services += 1;
            counts.parts += service(transaction, &mut rng, counts.services, &id, mileage_km)?;
        }
    }
    Ok(counts)
}

/// Writes one row of `service_history` with its parts; answers the number of parts.
fn service(
    transaction: &Transaction<'_>,
    rng: &mut Rng,
    number: i64,
    vehicle: &str,
    mileage_km: i64,
) -> rusqlite::Result<i64> {
    let parts = rng.between(0, 3);
    let mut cost_cents = rng.between(4_000, 60_000);
    let mut insert = transaction.prepare_cached("insert into part values (?, ?, ?, ?, ?, ?)")?;
    for position in 1..=parts {
        let (part_number, name, price) = *rng.pick(&PARTS);
        let quantity = rng.between(1, 5);
        cost_cents += price * quantity;
        insert.execute(params![
            number,
            position,
            part_number,
            name,
            quantity,
            price
        ])?;
    }
    let serviced_on = date(rng, 1984, 2025);
    let workshop = *rng.pick(&WORKSHOPS);
    let mileage_km = rng.between(1_000, mileage_km);
    transaction
        .prepare_cached("insert into service_history values (?, ?, ?, ?, ?, ?)")?
        .execute(params![
            number,
            vehicle,
            serviced_on,
            workshop,
            mileage_km,
            cost_cents
        ])?;
    Ok(parts)
}

/// A date between the years `from` and `to`, both included.
fn date(rng: &mut Rng, from: i64, to: i64) -> String {
    let (year, month) = (rng.between(from, to + 1), rng.between(1, 13));
    // Every month has a 28th.
    format!("{year:04}-{month:02}-{:02}", rng.between(1, 29))
}

fn vin(rng: &mut Rng) -> String {
    (0..17).map(|_| char::from(*rng.pick(VIN))).collect()
}

/// A licence plate, unique for up to 26³ × 1,000 vehicles.
fn plate(number: u64) -> String {
    let letter = |place: u32| {
        char::from(b'A' + u8::try_from(number / 1_000 / 26_u64.pow(place) % 26).unwrap_or(0))
    };
    format!(
        "{}{}{} {:03}",
        letter(2),
        letter(1),
        letter(0),
        number % 1_000
    )
}
