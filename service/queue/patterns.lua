-- Whether a lane's key fits a pattern, in which each `*` stands for any text; `lane_rules.matches` says the same.
local function matches(pattern, key)
  local literal = string.match(pattern, '^[^*]*')
  if string.sub(key, 1, #literal) ~= literal then return false end -- most patterns end here
  local parts, from = {}, 1
  for part in string.gmatch(pattern .. '*', '([^*]*)%*') do parts[#parts + 1] = part end
  if #parts == 1 then return key == pattern end
  from = #parts[1] + 1
  for i = 2, #parts - 1 do
    local first, last = string.find(key, parts[i], from, true)
    if not first then return false end
    from = last + 1
  end
  local last = parts[#parts]
  return #key - #last + 1 >= from and (last == '' or string.sub(key, -#last) == last)
end
