select id, car_id, vin, plate, color, first_registered, mileage_km
from vehicle
where id in (:ids)
