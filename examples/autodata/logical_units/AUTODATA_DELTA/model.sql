select id, name, miles_per_gallon, cylinders, displacement, horsepower, weight_lbs, acceleration, model_year, origin
from cars
where id in (:ids)
