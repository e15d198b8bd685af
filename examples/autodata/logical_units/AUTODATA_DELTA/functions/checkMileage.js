// Fails for a vehicle with too few kilometres. A vehicle that does not exist is not tried again.
function checkMileage(id, atLeast = 0) {
  const vehicle = db('garage').fetchFirst('select mileage_km from vehicle where id = ?', id.toUpperCase());
  if (vehicle === null) {
    failJob(`there is no vehicle ${id}`, 'noRetry');
  }
  if (vehicle.mileage_km < Number(atLeast)) {
    throw new RangeError(`${id} has ${vehicle.mileage_km} km`);
  }
  return vehicle.mileage_km;
}
