PINS = ()
