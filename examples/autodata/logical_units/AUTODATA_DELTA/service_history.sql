select id, vehicle_id, serviced_on, workshop, mileage_km, cost_cents
from service_history
where vehicle_id in (:ids)
