"""What every stage shares and no stage owns: settings, errors, clock, units, device profiles, the database.

Comes in: the environment and profile files. Goes out: validated values. It never knows a stage.
"""
