// Compiling texts: files, modules that they require, and what scripts `load`.
#include "lua_dialect.h"
#include <stdio.h>
#include <string.h>

/// What the parser gets at once. Between two pieces the guard is asked, since a text can be made to take the parser
/// seconds.
#define PIECE 256

// MARK: Texts

typedef struct mg_reader {
    const char *text;
    size_t left;
} mg_reader;

static const char *read_text(lua_State *L, void *data, size_t *size) {
    mg_reader *reader = data;
    mg_lua *vm = mg_vm(L);
    // Leaving from here would end the parser only, so the error is the parser's and `load` leaves.
    if (vm->overrun) luaL_error(L, "script ended");
    const char *piece = reader->text;
    *size = reader->left < PIECE ? reader->left : PIECE;
    reader->text += *size;
    reader->left -= *size;
    return *size > 0 ? piece : NULL;
}

/// Pushes the name of a chunk: Lua shows what follows its first character, which tells the dialect.
static void push_chunk_name(lua_State *L, const char *name, bool legacy) {
    size_t length = strlen(name), most = LUA_IDSIZE - 1;
    if (!legacy) lua_pushfstring(L, "@%s", name);
    else if (length <= most) lua_pushfstring(L, "=%s", name);
    else lua_pushfstring(L, "=...%s", name + length - (most - 3));
}

void mg_compile(lua_State *L, mg_lua *vm, const char *text, size_t length, const char *name, bool legacy) {
    if (length > MG_SOURCE_MAX) luaL_error(L, "%s: longer than %d bytes", name, MG_SOURCE_MAX);
    push_chunk_name(L, name, legacy);
    mg_reader reader = {text, length};
    if (lua_load(L, read_text, &reader, lua_tostring(L, -1), "t") != LUA_OK) lua_error(L);
    lua_replace(L, -2);
    mg_push_globals(L, vm, legacy);
    lua_pushvalue(L, -1);
    lua_setupvalue(L, -3, 1);
}

// MARK: load

static const char *read_pieces(lua_State *L, void *data, size_t *size) {
    size_t *left = data;
    mg_lua *vm = mg_vm(L);
    if (vm->overrun) luaL_error(L, "script ended");
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        *size = 0;
        return NULL;
    }
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "reader function must return a string");
    // Keeps the piece alive below the parser's values.
    lua_replace(L, 5);
    const char *piece = lua_tolstring(L, 5, size);
    if (*size > *left) luaL_error(L, "source too long");
    *left -= *size;
    return piece;
}

/// Pushes the name of a loaded text. Scripts may not choose the first character, which tells the dialect.
static void push_given_name(lua_State *L, const char *given, bool legacy) {
    if (*given == '=' || *given == '@') {
        push_chunk_name(L, given + 1, legacy);
        return;
    }
    if (!legacy) {
        lua_pushstring(L, given);
        return;
    }
    char shown[LUA_IDSIZE];
    size_t length = strcspn(given, "\n");
    bool is_whole = !given[length] && length < 40;
    snprintf(shown, sizeof shown, "=[string \"%.*s%s\"]", (int)(length < 40 ? length : 40), given, is_whole ? "" : "...");
    lua_pushstring(L, shown);
}

int mg_load_text(lua_State *L, int globals, bool legacy) {
    // While a hook runs, even a text that is made to be slow has to be parsed within the limits.
    size_t most = mg_vm(L)->scope ? MG_LOADED_MAX : MG_SOURCE_MAX;
    bool is_text = lua_type(L, 1) == LUA_TSTRING;
    if (!is_text) luaL_checktype(L, 1, LUA_TFUNCTION);
    push_given_name(L, luaL_optstring(L, 2, is_text ? lua_tostring(L, 1) : "=(load)"), legacy);
    lua_replace(L, 2);
    const char *name = lua_tostring(L, 2);
    int status;
    if (is_text) {
        mg_reader reader;
        reader.text = lua_tolstring(L, 1, &reader.left);
        if (reader.left > most) return luaL_error(L, "source too long (more than %d bytes)", (int)most);
        status = lua_load(L, read_text, &reader, name, "t");
    } else {
        size_t left = most;
        status = lua_load(L, read_pieces, &left, name, "t");
    }
    mg_check_time(L);
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushvalue(L, globals);
    lua_setupvalue(L, -2, 1);
    return 1;
}

/// Upvalues: the globals of the file that calls, whether it speaks the old dialect.
static int load(lua_State *L) {
    const char *mode = luaL_optstring(L, 3, "bt");
    if (!strchr(mode, 't')) return luaL_error(L, "binary chunks are closed in policies");
    bool has_globals = !lua_isnone(L, 4);
    lua_settop(L, 4);
    lua_pushnil(L);
    return mg_load_text(L, has_globals ? 4 : lua_upvalueindex(1), lua_toboolean(L, lua_upvalueindex(2)));
}

// MARK: require

/// Upvalues of `require`: the libraries of the file that calls, whether it speaks the old dialect.
static void push_modules(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, mg_vm(L)->modules[lua_toboolean(L, lua_upvalueindex(2))]);
}

static int finish_module(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    push_modules(L);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, lua_tostring(L, 1));
    lua_pop(L, 1);
    return 1;
}

static int load_module(lua_State *L, mg_lua *vm, const char *name, size_t length) {
    mg_call *call = &vm->call;
    call->object = NULL;
    call->scope = NULL;
    vm->arguments[0] = (mg_value){.kind = MG_STRING, .size = (uint32_t)length, .bytes = (const uint8_t *)name};
    vm->output.count = 0;
    mg_action action = vm->module_source ? vm->module_source(call) : MG_RETURN;
    // There is such a module, and a reason not to read it.
    if (action == MG_FAIL) return luaL_error(L, "%s", vm->message);
    if (action != MG_RETURN || vm->output.count < 2) {
        if (strcmp(name, "ffi") == 0)
            return luaL_error(L, "module 'ffi' is closed in policies: it reaches outside the script engine");
        return luaL_error(L, "module not found in the policy path (argument 1 of 'require')");
    }
    mg_push_tape(L, vm, &vm->output);
    size_t size;
    const char *source = lua_tolstring(L, 2, &size);
    mg_compile(L, vm, source, size, lua_tostring(L, 3), lua_toboolean(L, lua_upvalueindex(2)));
    lua_pop(L, 1);
    push_modules(L);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 1, 0, finish_module);
    return finish_module(L, LUA_OK, 0);
}

/// Modules are shared by all files of the VM that speak the same dialect.
static int require(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
    push_modules(L);
    lua_getfield(L, -1, name);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) return luaL_error(L, "loop in 'require': the module is being loaded already");
    if (!lua_isnil(L, -1)) return 1;
    lua_settop(L, 1);
    return load_module(L, vm, name, length);
}

void mg_open_load(lua_State *L, int globals, bool legacy) {
    lua_newtable(L);
    int libraries = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, globals)) {
        if (lua_type(L, -1) == LUA_TTABLE) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, libraries);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pushboolean(L, legacy);
    lua_pushcclosure(L, require, 2);
    lua_setfield(L, globals, "require");
    lua_pushvalue(L, globals);
    lua_pushboolean(L, legacy);
    lua_pushcclosure(L, load, 2);
    lua_setfield(L, globals, "load");
}
