#pragma once
#include "mg_lua.h"
#include "mg_system.h"
