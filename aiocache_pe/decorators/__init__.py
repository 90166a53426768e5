"""`cached`: what it is told, what it makes of each kind of function, and how calls go."""
