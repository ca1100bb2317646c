"""LSOTB-TIR of 2023, short sequences: 100 sequences, 64,367 frames, one pass.

95 of the 120 of 2020 with the same annotation, and five new ones.
"""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import (
    NORM_PRECISION_PLOT,
    PRECISION_PLOT,
    SUCCESS_PLOT,
    otb_core,
)

_NAMES = """
    airplane_H_001 airplane_H_002 airplane_H_003 badger_H_001 bat_H_001 bird_H_001 bird_H_002
    bird_H_003 boat_H_001 boy_S_001 boy_S_002 bus_S_004 bus_V_002 bus_V_003 bus_V_004 bus_V_005
    car_D_002 car_D_004 car_D_005 car_D_007 car_D_009 car_S_001 car_S_003 car_V_001 car_V_003
    car_V_009 car_V_010 car_V_014 cat_D_001 cat_H_001 cat_H_002 cow_H_001 coyote_S_001
    crowd_S_001 deer_H_001 dog_D_001 dog_D_002 dog_H_001 drone_D_001 face_H_001 fox_H_001
    hand_S_001 head_H_002 head_S_001 helicopter_H_001 helicopter_H_002 helicopter_S_001
    hog_D_001 hog_H_001 hog_H_002 hog_H_003 hog_H_004 hog_S_001 leopard_H_001 mouse_H_001
    owl_H_001 person_D_003 person_D_004 person_D_006 person_D_009 person_D_011 person_D_014
    person_D_015 person_D_016 person_D_019 person_D_020 person_D_022 person_D_023 person_H_002
    person_H_003 person_H_004 person_H_006 person_H_008 person_H_011 person_H_012 person_H_013
    person_S_001 person_S_003 person_S_006 person_S_007 person_S_008 person_S_010 person_S_011
    person_S_012 person_S_014 person_S_015 person_S_016 person_S_017 person_S_018 person_S_019
    person_V_002 person_V_007 person_V_008 pickup_S_001 street_S_001 street_S_002 street_S_003
    street_S_004 street_S_005 truck_S_001
"""
SEQUENCES = frozenset(_NAMES.split())

PROTOCOL = otb_core(
    "lsotb-tir-2023-short", (SUCCESS_PLOT, PRECISION_PLOT, NORM_PRECISION_PLOT), only=SEQUENCES
)
